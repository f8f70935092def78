"""Functions: what is registered, with versions, triggers and status.

Tables that it writes: `function_epoch`, `functions`, `schedules`.
First file to open: `service.py`.
"""
