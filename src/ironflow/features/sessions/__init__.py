"""Sessions: users who have logged in, by a cookie of the dashboard or by a JWT of a client.

Tables that it writes: `sessions`, `session_keys`, `login_failures`.
First file to open: `authenticator.py`.
"""
