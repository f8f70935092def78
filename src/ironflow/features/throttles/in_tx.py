"""What other features do with throttles inside their own transactions."""

from ironflow.features.throttles.store import Throttled, next_start

__all__ = ["Throttled", "next_start"]
