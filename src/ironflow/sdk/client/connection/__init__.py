"""How the client reaches a server: calls with retries, streams, subscriptions."""
