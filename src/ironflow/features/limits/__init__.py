"""Limits of keys, users and environments: how many requests a second, open connections and bytes each may have.

Tables that it writes: `limits`.
First file to open: `limiter.py`.
"""
