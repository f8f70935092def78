"""The time_travel room: a recorded run as it was at any moment, and what happened to it, told from its facts."""
