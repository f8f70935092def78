"""Webhooks as they arrive: the request, how its signature is verified, and what the known providers do."""
