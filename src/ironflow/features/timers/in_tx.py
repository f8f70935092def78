"""What other features do with timers inside their own transactions."""

from ironflow.features.timers.store import Timer, drop_timer, drop_timers, set_timers

__all__ = ["Timer", "drop_timer", "drop_timers", "set_timers"]
