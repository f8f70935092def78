"""Values: what a run shows of itself by name, for readers that need no code of it to run.

Tables that it writes: none; runs write their values with their reports, and messages with what takes and answers them.
First file to open: `contract.py`.
"""
