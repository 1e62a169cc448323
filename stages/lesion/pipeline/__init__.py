"""What any stage needs in order to run: files that are written whole, work by threads, errors.

Imports nothing.
"""
