"""What other rooms ask of workers inside their own transactions."""

from ironflow.features.jobs.store import is_served

__all__ = ["is_served"]
