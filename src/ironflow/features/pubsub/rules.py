"""What is decided about topics; pure. Source: behaviour.md 6."""

import re

from ironflow.base.json import Json, check_size, json_text
from ironflow.base.pattern import has_empty_token, without_empty_tokens
from ironflow.features.pubsub.contract import InvalidTopic

TOPIC_CHARS_MAX = 256
_FORBIDDEN = re.compile(r"[\s\x00-\x1f\x7f*>]")
_RESERVED = ("events:", "system.", "entity:", "public.")


def check_topic(topic: str) -> None:
    """Raises InvalidTopic."""
    if not topic or len(topic) > TOPIC_CHARS_MAX or _FORBIDDEN.search(topic):
        raise InvalidTopic(
            f"{topic[:60]!r} is no topic: write 1 to {TOPIC_CHARS_MAX} characters without spaces, `*` or `>`."
        )
    if has_empty_token(topic):
        raise InvalidTopic(
            f"{topic[:60]!r} is no topic: a part between its dots is empty, which no pattern may have. "
            f"Write {without_empty_tokens(topic)[:60]!r}."
        )
    for prefix in _RESERVED:
        if topic.startswith(prefix):
            raise InvalidTopic(f"{topic[:60]!r} starts with {prefix!r}, which belongs to the server.")


def message_text(data: Json, bytes_max: int) -> str:
    """The message as it is stored. Raises PayloadTooLarge."""
    check_size(data, "The message", bytes_max)
    return json_text(data) or "null"
