"""How the command line reads the landing page that it asks for itself."""

from ironflow.features.discovery.rules import landing_of, registrations_of, slash_after

__all__ = ["landing_of", "registrations_of", "slash_after"]
