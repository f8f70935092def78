"""What becomes of an event that is delivered and not saved."""

from dataclasses import replace

from ironflow.base.time import Millis
from ironflow.features.projections.rules.registry import ProjectionRow

# Deliveries of one event before the projection is shown as failing: one, and three retries.
TRIES_MAX = 4
RETRY_MS, RETRY_MS_MAX = 1_000, 60_000
BATCH, BATCH_MAX = 100, 1_000


def sent(projection: ProjectionRow, position: int) -> ProjectionRow:
    """The projection when events up to `position` go to a runner without a lease."""
    return replace(projection, sent_up_to=max(projection.sent_up_to or 0, position))


def decide_delivery(projection: ProjectionRow, position: int, event: str, now: Millis) -> ProjectionRow:
    """The projection when its next event is delivered once more without having been saved.

    event: its id and name for the error. From the fourth delivery on it is shown as failing, and delivered ever slower.
    """
    tries = projection.tries + 1 if position == projection.tries_position else 2
    failing = tries >= TRIES_MAX
    message = f"event {event} was delivered {tries} times and not saved" if failing else projection.error_message
    return replace(
        projection,
        tries_position=position,
        tries=tries,
        error_message=message,
        retry_at=now + retry_delay_ms(tries) if failing else 0,
        updated_at=now if failing else projection.updated_at,
    )


def retry_delay_ms(tries: int) -> int:
    """How long an event rests after its delivery number `tries` before it is delivered again."""
    return min(RETRY_MS * 2 ** min(tries - TRIES_MAX, 10), RETRY_MS_MAX) if tries >= TRIES_MAX else 0


def decide_resumed(projection: ProjectionRow, now: Millis) -> ProjectionRow:
    """The projection when it is resumed: it is fed at once, and an error is forgotten."""
    return replace(projection, paused=False, error_message="", tries_position=0, tries=0, retry_at=0, updated_at=now)


def batch_of(asked: int) -> int:
    return min(asked or BATCH, BATCH_MAX)
