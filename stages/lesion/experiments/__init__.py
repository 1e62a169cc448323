"""What tools know of many results. No stage imports it.

Imports pipeline, formats, scoring, report, tracking, parameters.
"""
