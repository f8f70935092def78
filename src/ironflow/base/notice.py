"""In-process notices of a feature: a run went on, a function was registered. They are not stored.

    tx.publish_local(Notice(environment, ("config", name, "updated"), write_json_text({...}), now))

Delivered after the commit to the listeners of this process, which publish them as system events
(`system.config.<name>.updated`).
A feature that publishes often does so as a `Notices` of its own, which costs next to nothing without listeners.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ironflow.base.time import Millis


class Notice(NamedTuple):
    """One thing that happened. parts: the tokens of the topic after `system.`; an id is one token. data: JSON text."""

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
    """Notices that are built only when a listener reads them.

    weight: their number, roughly. size_bytes: the memory that they occupy until then, roughly.
    """

    @property
    def weight(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    def notices(self) -> Sequence[Notice]: ...
