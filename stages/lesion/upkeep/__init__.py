"""What a run that was broken off leaves in a workspace, and its mending. It decides nothing.

Imports pipeline, tracking.
"""
