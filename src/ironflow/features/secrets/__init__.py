"""Secrets: named texts of an environment that only its functions read, encrypted in the database.

Tables that it writes: `secrets`, `secret_data_keys`.
First file to open: `service.py`.
"""
