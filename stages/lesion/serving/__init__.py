"""The trained model behind an address on this machine, and a page to use it in a browser.

Imports pipeline, formats, photos, prediction, synthetic, console.
"""
