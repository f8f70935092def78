"""Deploys: which versions of a function's code have runs under way, and moving runs from one to another.

Tables that it writes: none.
First file to open: `service.py`.
"""
