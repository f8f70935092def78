"""The functions room: what is registered, with versions, triggers and status."""
