"""What is decided about dead letters; pure. Source: docs/reference/consumer_groups.md, "Dead letters"."""

from collections.abc import Callable

from ironflow.features.dead_letters.contract import ChooseDeadLetters, InvalidGroup
from ironflow.log.topics import topic_pattern


def check_choice(request: ChooseDeadLetters) -> None:
    """Raises InvalidGroup when a request for dead letters says neither which ones nor all."""
    chosen = bool(request.event_ids or request.topic or request.reason)
    if not chosen and not request.all:
        raise InvalidGroup("Say which dead letters are meant: event_ids, topic or reason; or all.")
    if chosen and request.all:
        raise InvalidGroup("All dead letters, or those of event_ids, topic or reason: not both.")


def position_of_cursor(text: str) -> int:
    """The position in the log that a cursor of dead letters stands for; -1 for the start. Raises InvalidGroup."""
    if not text:
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidGroup(f"{text[:40]!r} is no cursor of dead letters. Use the next_cursor of an earlier answer.")
    return int(text)


def topic_filter(topic: str) -> Callable[[str], bool]:
    """Returns whether a dead letter's topic matches. topic: a pattern, empty for all. Raises InvalidPattern."""
    return topic_pattern(topic).fits_topic if topic else lambda _: True
