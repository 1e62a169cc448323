"""The trained model as others use it: a photograph's file in, its lesion and measures out.

Imports console, pipeline, formats, photos, network, scoring.
"""
