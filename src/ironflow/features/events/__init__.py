"""The events room: emitting, waiting for the runs an event started, and reading what was emitted."""
