"""The streams room: one append-only stream of events for each entity, its versions, history and snapshots."""
