"""Server state: health, readiness, capabilities and facts about the server.

Tables that it writes: none.
First file to open: `service.py`.
"""
