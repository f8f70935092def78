"""What other features do with dead letters inside their own transactions."""

from ironflow.features.dead_letters.store import DeadLetter, add, count, delete_of_group, first

__all__ = ["DeadLetter", "add", "count", "delete_of_group", "first"]
