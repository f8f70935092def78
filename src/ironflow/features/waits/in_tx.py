"""What other features do with waits inside their own transactions."""

from ironflow.features.waits.look_back import first_matches
from ironflow.features.waits.rules import Wait, matches
from ironflow.features.waits.store import add, drop, drop_all, drop_waits, matching

__all__ = ["Wait", "add", "drop", "drop_all", "drop_waits", "first_matches", "matches", "matching"]
