"""Triggers of recorded events: events that are in the log are given to one function, each once, and to nothing else.

Tables that it writes: `event_triggers`.
First file to open: `service.py`.
"""
