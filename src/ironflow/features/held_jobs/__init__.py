"""Held jobs: the jobs that this server hands to one executor, a worker on its stream or an endpoint.

Tables that it writes: none; the leases belong to `jobs`.
First file to open: `service.py`.
"""
