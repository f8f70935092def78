"""Tests, in folders named like the rooms and floors they are about."""
