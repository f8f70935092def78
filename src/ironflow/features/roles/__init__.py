"""Roles: named sets of policies. An API key has roles; admin, developer and viewer are built in.

Tables that it writes: `roles`, `role_policies`.
First file to open: `rules.py`.
"""
