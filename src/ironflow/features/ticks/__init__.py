"""Ticks: the moments at which a schedule starts a run, and what happens when its last run has not ended yet.

Tables that it writes: `tick_runs`, `kept_ticks`.
First file to open: `rules.py`.
"""
