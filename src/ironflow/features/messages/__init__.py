"""Messages: what is sent to one run, kept in order until the run takes it, and answered where it was asked.

Tables that it writes: `messages`.
First file to open: `contract.py`; jobs take messages with their reports through `in_tx`.
"""
