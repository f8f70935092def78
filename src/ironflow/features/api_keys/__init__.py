"""API keys: who a caller is, where it may act and what it may do.

Tables that it writes: `api_keys`, `api_key_bootstraps`.
First file to open: `service.py`.
"""
