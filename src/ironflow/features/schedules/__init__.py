"""Schedules: starts of functions at times, created and changed by clients.

Tables that it writes: `named_schedules`, `schedule_backfills`.
First file to open: `rules.py`.
"""
