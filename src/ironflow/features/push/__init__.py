"""Push: executions that the server makes by calling the endpoint of their function.

Tables that it writes: none; leases belong to `jobs`, circuit breakers to `endpoints`.
First file to open: `service.py`.
"""
