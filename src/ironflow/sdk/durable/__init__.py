"""Durable functions as they are executed: context, steps, execution over the recorded steps."""
