"""Real servers and workers that are killed at random moments, and a record of what they did outside of Ironflow."""
