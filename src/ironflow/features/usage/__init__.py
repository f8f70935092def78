"""Usage: how many bytes of events each environment has recorded today, and how many bytes it stores.

Tables that it writes: `usage_heads`, `usage_days`, `usage_totals`.
First file to open: `loops.py`.
"""
