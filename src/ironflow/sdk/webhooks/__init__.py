"""Webhooks that a program receives itself, beside its functions, and passes on as events."""
