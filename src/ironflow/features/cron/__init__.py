"""Cron: starts functions when their schedules are due.

Tables that it writes: none.
First file to open: `loops.py`.
"""
