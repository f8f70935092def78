"""Projections: their definition, the fold and the runner."""
