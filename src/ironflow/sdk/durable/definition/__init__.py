"""`@function` and its settings: triggers and controls."""
