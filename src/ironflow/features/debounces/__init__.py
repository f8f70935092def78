"""Debounces: events of a function are gathered until they pause; the last one starts the run.

Tables that it writes: `debounces`.
First file to open: `service.py`.
"""
