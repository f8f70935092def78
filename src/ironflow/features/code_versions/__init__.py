"""Versions of the code of functions, as workers serve them, and the runs that are pinned to one.

Tables that it writes: `function_code_versions`, `run_code_versions`.
First file to open: `rules.py`.
"""
