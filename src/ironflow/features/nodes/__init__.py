"""Nodes: which processes have this database, each start of one under an id of its own, and what they leave behind.

What only a living process can go on with (a request to an endpoint, a stream) is stored with the id of its
incarnation. When that has gone, the others take it over: a feature registers how with `on_ended`.

Tables that it writes: `nodes`.
First file to open: `service.py`.
"""
