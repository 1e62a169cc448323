"""What stages hand to each other: arrays, tables, splits, the header of the weights.

Imports pipeline.
"""
