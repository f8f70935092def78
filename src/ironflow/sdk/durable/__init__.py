"""Durable functions: definition, context, steps, execution over the recorded steps."""
