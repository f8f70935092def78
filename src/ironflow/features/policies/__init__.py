"""Policies: rules that allow or deny actions on resources. A role has policies, a key has roles.

Tables that it writes: `policies`.
First file to open: `rules.py`.
"""
