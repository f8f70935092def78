"""Audit: what happened to recorded runs, of one run or of a whole environment, read from their facts.

Tables that it writes: none.
First file to open: `service.py`.
"""
