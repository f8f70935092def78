"""Controls of runs: pause, resume, retry, inject, patch, and explain why a run is idle.

Tables that it writes: none.
First file to open: `service.py`.
"""
