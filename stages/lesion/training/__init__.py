"""The training loop, from arrays to weights.

Imports pipeline, network, parameters.
"""
