"""Topics: messages are published to a topic and recorded in the log.

Tables that it writes: `topics`.
First file to open: `service.py`.
"""
