"""Organisations: what projects belong to.

Tables that it writes: `orgs`.
First file to open: `service.py`.
"""
