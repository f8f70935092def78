"""OpenID Connect: log-in to the dashboard by another system that knows the users.

Tables that it writes: none.
First file to open: `service.py`.
"""
