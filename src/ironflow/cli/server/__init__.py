"""`ironflow serve`, `server` and `version`."""
