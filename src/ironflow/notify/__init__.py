"""Wakes readers after a commit, in this process and on other nodes. The database holds the truth: a lost notification
costs a moment, never a message."""
