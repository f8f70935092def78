"""Limits of keys and environments: how many requests a second and how many open connections each may have.

Tables that it writes: `limits`.
First file to open: `limiter.py`.
"""
