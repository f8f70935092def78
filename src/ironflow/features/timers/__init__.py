"""Timers: times at which runs are woken: ends of sleeps, waits and retry delays.

Tables that it writes: `timers`.
First file to open: `loops.py`.
"""
