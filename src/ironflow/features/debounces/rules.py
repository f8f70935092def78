"""When gathered events fire; pure."""

from ironflow.base.time import Millis
from ironflow.features.functions.contract import DebounceConfig


def decide_fire_at(config: DebounceConfig, first_at: Millis, now: Millis) -> Millis:
    """A period after the last event, but no later than max_wait after the first. Source: behaviour.md 1."""
    fire_at = now + config.period_ms
    return min(fire_at, first_at + config.max_wait_ms) if config.max_wait_ms else fire_at
