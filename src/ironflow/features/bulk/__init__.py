"""Bulk jobs: cancel, retry or resume all runs that match a filter, a few at a time, with progress.

Tables that it writes: `bulk_jobs`.
First file to open: `service.py`.
"""
