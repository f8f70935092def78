"""What is in the log."""

from typing import Literal, NamedTuple

import msgspec

from ironflow.base.time import Millis

# event: emitted by users. invoke: the input of a directly started run; starts nothing else. topic: a published message.
# entity: appended to an entity's stream; in everything else an event. system: published by the server about itself; has
# the shape of a record for its listeners, and is never in the log.
Kind = Literal["event", "invoke", "topic", "entity", "system"]
# What starts functions, ends waits and cancels runs.
HAPPENED: frozenset[Kind] = frozenset({"event", "entity"})
# Published without a namespace, and so of every one.
EVERYWHERE: frozenset[Kind] = frozenset({"topic", "system"})


class Record(msgspec.Struct, frozen=True):
    """One event. position: its place in the global order, 0 before it is appended. data, metadata: JSON texts.

    entity_type, entity_id, entity_version: of kind `entity` only; versions count from 1 within the entity's stream.
    imported_at: when it was copied here from another log, None for what was emitted here.
    """

    id: str
    environment: str
    kind: Kind
    name: str
    data: str
    created_at: Millis
    metadata: str | None = None
    version: int = 1
    source: str = ""
    namespace: str = "default"
    idempotency_key: str | None = None
    run_id: str | None = None
    emitted_by: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    entity_version: int | None = None
    imported_at: Millis | None = None
    position: int = 0

    def is_of(self, namespace: str) -> bool:
        """Whether followers of this namespace receive it."""
        return self.kind in EVERYWHERE or self.namespace == namespace


class Header(NamedTuple):
    """What filters compare of a record, without its payload. The fields are those of `Record`."""

    position: int
    kind: Kind
    name: str
    namespace: str
    entity_type: str | None
    entity_id: str | None
