"""From a file's bytes to image and mask, and into the network's square and back.

Imports pipeline, formats, console.
"""
