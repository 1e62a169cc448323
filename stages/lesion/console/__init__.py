"""How stages and tools start, what they show, and how they fail. What is shown decides nothing.

Imports pipeline.
"""
