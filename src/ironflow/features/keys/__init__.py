"""Keys of runs: a name of the user's own, unique among the runs of a function that have not ended.

Tables that it writes: `run_keys`.
First file to open: `store.py`; other features claim and release keys through `in_tx`.
"""
