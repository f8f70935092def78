"""Throttles: when a run whose function starts at most so many runs in a period may start.

Tables that it writes: `throttle_starts`.
First file to open: `store.py`.
"""
