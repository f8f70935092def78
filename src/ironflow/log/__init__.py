"""The append-only log: every event in one global order, and followers that read it without missing any."""
