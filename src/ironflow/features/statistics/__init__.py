"""Numbers about runs: how many over time, how long they take, and failed runs grouped by their error.

Tables that it writes: none. It reads a bounded number of the newest runs through `runs.in_tx`.
First file to open: `service.py`.
"""
