"""Reading the lines that a run wrote with `ctx.logger`.

Tables that it writes: none.
First file to open: `service.py`.
"""
