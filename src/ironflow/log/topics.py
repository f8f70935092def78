"""Topics: the names under which records of the log are subscribed to, and patterns of them.

`events:order.placed` was emitted, `topic:mail` published, `entity:cart.7.added` appended to an entity's stream; the
input of an invoked run has no topic. A pattern without a prefix means `events:`.
Source: protocol/connectrpc.md 7, protocol/websocket.md 5.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from ironflow.base.json import write_json_text
from ironflow.base.pattern import InvalidPattern, compiled, is_pattern, matches
from ironflow.base.time import to_datetime
from ironflow.log.record import Header, Kind, Record

PATTERN_BYTES_MAX = 512
_KINDS: dict[str, Kind] = {"events": "event", "topic": "topic", "entity": "entity"}
_PREFIXES: dict[Kind, str] = {**{kind: f"{prefix}:" for prefix, kind in _KINDS.items()}, "system": "system."}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class SystemPattern(InvalidPattern):
    """Topics that begin with `system.` are about the server; they are not in the log and cannot be followed there."""

    code = "SYSTEM_PATTERN"


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """Records of one kind whose topics fit. tokens: the pattern without its prefix.

    name: the only record name that the pattern matches, None when there may be several.
    """

    kind: Kind
    tokens: str
    name: str | None

    def fits(self, record: Record | Header) -> bool:
        """Whether the pattern matches the record. An entity's id is one token, whatever it contains."""
        if record.kind != self.kind:
            return False
        if self.kind != "entity":
            return record.name == self.name if self.name is not None else self._fits(record.name)
        one_token = (record.entity_id or "").replace(".", "\0")
        return self._fits(_entity_topic(record)) or self._fits(f"{record.entity_type}.{one_token}.{record.name}")

    def fits_name(self, name: str) -> bool:
        """Whether the pattern matches records of its kind that have this name; not for entities."""
        return self._fits(name)

    def fits_topic(self, topic: str) -> bool:
        """Whether the pattern matches a topic of `topic_of`; here an entity's id with dots is several tokens."""
        prefix = _PREFIXES.get(self.kind, "")
        return topic.startswith(prefix) and self._fits(topic.removeprefix(prefix))

    def _fits(self, tokens: str) -> bool:
        return matches(self.tokens, tokens)


@lru_cache(maxsize=4096)
def topic_pattern(text: str) -> TopicPattern:
    """Raises InvalidPattern, SystemPattern."""
    if not text or len(text.encode()) > PATTERN_BYTES_MAX or _CONTROL.search(text):
        raise InvalidPattern(
            f"{text[:60]!r} is no pattern: write 1 to {PATTERN_BYTES_MAX} bytes, such as `topic:mail.*`."
        )
    if text.startswith("system."):
        raise SystemPattern(f"{text[:60]!r} names topics of the server, which are not in the log. Subscribe to them.")
    prefix, colon, tokens = text.partition(":")
    kind = _KINDS.get(prefix) if colon else None
    if kind is None:
        kind, tokens = "event", text
    if "" in tokens.split("."):
        raise InvalidPattern(f"{text[:60]!r} has an empty token. Single dots separate tokens, as in `order.placed`.")
    compiled(tokens)
    if kind == "entity":
        # Type, id and name are three columns; only the whole of them fits or does not.
        return TopicPattern(kind, tokens, None)
    if is_pattern(tokens):
        return TopicPattern(kind, tokens, None)
    return TopicPattern(kind, tokens, tokens)


def topic_of(record: Record) -> str:
    """The topic of a record; empty for the input of an invoked run."""
    if record.kind == "entity":
        return f"entity:{_entity_topic(record)}"
    prefix = _PREFIXES.get(record.kind)
    return f"{prefix}{record.name}" if prefix else ""


def payload_text(record: Record) -> str:
    """The JSON text that subscribers are given as `data`: of an entity's event, the event with its version around it.

    Source: protocol/connectrpc.md 7.
    """
    if record.kind != "entity":
        return record.data
    about = {
        "id": record.id,
        "name": record.name,
        "entityVersion": record.entity_version,
        "version": record.version,
        "timestamp": to_datetime(record.created_at),
        "source": record.source,
    }
    metadata = f',"metadata":{record.metadata}' if record.metadata else ""
    # The data goes in as it was sent, byte for byte.
    return f'{write_json_text(about)[:-1]},"data":{record.data}{metadata}}}'


def _entity_topic(record: Record | Header) -> str:
    return f"{record.entity_type}.{record.entity_id}.{record.name}"
