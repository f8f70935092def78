"""Slots: which runs may run under a concurrency limit or an actor key.

Tables that it writes: none; slots are counted from the rows of `jobs` and `runs`.
First file to open: `store.py`.
"""
