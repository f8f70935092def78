"""What is in the log."""

from typing import Literal

import msgspec

from ironflow.base.time import Millis

# event: emitted by users. invoke: the input of a directly started run; starts nothing else. topic: a published message.
Kind = Literal["event", "invoke", "topic"]


class Record(msgspec.Struct, frozen=True):
    """One event. position: its place in the global order, 0 before it is appended. data, metadata: JSON texts."""

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
    position: int = 0
