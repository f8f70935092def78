"""Durable functions as they are declared: `@function`, its triggers and its controls."""
