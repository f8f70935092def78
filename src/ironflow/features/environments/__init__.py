"""Environments: walls between the data of one server. A key of one environment reaches nothing of another.

Tables that it writes: `environments`.
First file to open: `service.py`.
"""
