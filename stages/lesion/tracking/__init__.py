"""MLflow: what is logged, kept on disk first and then sent. What only watches decides nothing.

Imports pipeline, formats, photos, network, prediction, parameters, console.
"""
