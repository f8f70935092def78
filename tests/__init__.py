"""Tests, in folders named like the features and layers they are about."""
