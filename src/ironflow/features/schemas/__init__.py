"""The schemas room: what the data of events looks like, by name and version, and what becomes of other data."""
