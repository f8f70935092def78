"""Endpoints: the addresses at which push functions are executed, each with its circuit breaker.

Tables that it writes: `endpoints`; an endpoint has a row there while its last request failed.
First file to open: `rules.py`.
"""
