"""params.yaml: a module a stage. It checks values and hands them on as they are, which decides
nothing.

Imports pipeline, formats.
"""
