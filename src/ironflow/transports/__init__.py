"""The wires: HTTP, REST, Connect, OpenAPI. They know operations, never a feature's noun."""
