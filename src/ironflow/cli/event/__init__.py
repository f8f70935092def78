"""`ironflow event`, `emit`, `schema`, `stream` and `subscribe`: the event log."""
