"""Consumer groups: members share the events of a pattern; each event goes to one member until it is settled.

Tables that it writes: `consumer_groups`, `deliveries`, `group_members`.
First file to open: `service.py`.
"""
