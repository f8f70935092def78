"""Deletions of environments: their rows are removed in small transactions, whatever happens to the server meanwhile.

Tables that it writes: `environment_deletions`; it deletes from those that `rules.TABLES` names.
First file to open: `loops.py`.
"""
