"""Data sets and weights that lie elsewhere.

Imports pipeline, photos, console.
"""
