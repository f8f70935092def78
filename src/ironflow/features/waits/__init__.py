"""Waits: the events that runs wait for, and the events that cancel runs.

Tables that it writes: `waits`, `wait_shapes`.
First file to open: `rules.py`; other features add and match waits through `in_tx`.
"""
