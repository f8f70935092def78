"""The lines that handlers and steps write with `ctx.logger`, as reports bring them and as they are kept.

Tables that it writes: `log_lines`.
First file to open: `rules.py`.
"""
