"""The subscriptions room: what happens, told to whoever listens, over WebSocket, RPC streams and server-sent events."""
