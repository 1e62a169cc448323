"""The U-Net and what runs it.

Imports pipeline, formats.
"""
