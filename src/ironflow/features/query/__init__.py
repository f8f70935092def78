"""Questions in SQL over events, runs and projections. They only read."""
