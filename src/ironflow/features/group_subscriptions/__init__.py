"""Group subscriptions: a member of a consumer group on a WebSocket, as a subscription beside others.

Tables that it writes: none; deliveries belong to `consumer_groups`.
First file to open: `service.py`.
"""
