"""Pictures, and the page that holds them.

Imports pipeline, formats, photos.
"""
