"""Discovery: what an endpoint serves, asked by the server, and what would change if it were registered.

Tables that it writes: none. First file to open: `rules.py`.
"""
