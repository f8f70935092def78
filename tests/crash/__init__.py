"""Servers and workers as real processes that die at any moment, and the outside witness of what they did."""
