"""The challenge's scores, what they rest on, and what is chosen by them.

Imports pipeline, formats, photos, parameters.
"""
