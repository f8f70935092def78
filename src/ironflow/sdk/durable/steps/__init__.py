"""The steps of one execution: recorded, replayed, run."""
