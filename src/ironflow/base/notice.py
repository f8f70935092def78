"""What a room tells of itself while it works: a run went on, a function was registered. Kept nowhere, in no log.

    tx.tell(Notice(environment, ("config", name, "updated"), write_json_text({...}), now))

Heard after the commit by whoever shows the system's events (`system.config.<name>.updated`), in this process. What a
room tells often it tells as a `Notices` of its own, which costs next to nothing until somebody listens.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ironflow.base.time import Millis


class Notice(NamedTuple):
    """One thing that happened. parts: the words after `system.`; an id is one word. data: JSON text."""

    environment: str
    parts: tuple[str, ...]
    data: str
    at: Millis

    @property
    def weight(self) -> int:
        return 1

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def notices(self) -> Sequence["Notice"]:
        return (self,)


class Notices(Protocol):
    """Things that happened, written out when somebody wants to know. weight: about how many; size_bytes: what they keep
    in memory, about."""

    @property
    def weight(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    def notices(self) -> Sequence[Notice]: ...
