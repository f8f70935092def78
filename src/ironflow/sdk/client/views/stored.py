"""What is stored under a name: keys, config documents and states of entities."""

from datetime import datetime
from typing import Any

import msgspec

from ironflow.sdk.client.views.base import View


class Stored(View, kw_only=True, frozen=True):
    """A key and the bytes stored under it."""

    key: str
    value: bytes

    def text(self) -> str:
        """The value as text. Raises UnicodeDecodeError when it is none."""
        return self.value.decode()

    def json(self) -> Any:
        """The value read as JSON. Raises msgspec.DecodeError when it is none."""
        return msgspec.json.decode(self.value)


class Entry(Stored, kw_only=True, frozen=True):
    """One revision of a key. operation: `put` or `delete`; value: the stored bytes, empty on delete.

    written_by: the key or user that wrote it; in a history, where there is authentication.
    """

    revision: int
    created_at: datetime
    operation: str
    written_by: str | None = None


class KeyChange(Stored, kw_only=True, frozen=True):
    """A change of a key. operation: `put`, or `delete`, also for a purge; value: the stored bytes, empty then."""

    revision: int
    operation: str
    bucket: str = ""


class ConfigChange(View, kw_only=True, frozen=True):
    """A change of a config document. data: the whole document, None when it was deleted; updated_at: None then."""

    name: str
    data: Any = None
    revision: int
    updated_at: datetime | None = None


class ConfigDocument(View, kw_only=True, frozen=True):
    """A config document. revision: rises with each change of any document of the environment."""

    name: str
    data: Any = None
    revision: int
    updated_at: datetime


class Entity(View, kw_only=True, frozen=True):
    """The state of an entity. version: of its stream, `entity_id`, with the event that run_id brought it by."""

    entity: str
    key: str
    entity_id: str
    state: Any
    version: int
    updated_at: datetime
    run_id: str | None = None
