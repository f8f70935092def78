"""Text formats of all commands: tables, times, sizes, payloads, tracebacks. `output.py` first."""
