"""Runs: the state of each execution of a function, step by step.

Tables that it writes: `facts`, `jobs`, `runs`, `steps`.
First file to open: `repository.py`.
"""
