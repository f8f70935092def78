"""Replaying a run on another machine: the handler over its record, and where they do not fit. Open `replay.py`."""
