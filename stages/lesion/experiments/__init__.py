"""What tools know of many results. No stage imports it.

Imports pipeline, scoring, report, tracking, parameters.
"""
