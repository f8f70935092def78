"""Time travel: the state of a recorded run at any time, and its timeline, from its facts.

Tables that it writes: `facts`, `runs`.
First file to open: `service.py`.
"""
