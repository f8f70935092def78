"""Config documents: JSON documents by name, kept in the bucket `$config` of the server.

Tables that it writes: none.
First file to open: `service.py`.
"""
