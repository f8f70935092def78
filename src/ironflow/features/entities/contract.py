"""What can be asked of entities. Source: docs/guides/entities.md."""

from datetime import datetime
from typing import Annotated

from ironflow.base.entity_streams import stream_of
from ironflow.base.errors import FailedPrecondition, InvalidArgument, NotFound, PayloadTooLarge
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation


class EntityNotFound(NotFound):
    """No handler has set a state of that entity."""

    code = "ENTITY_NOT_FOUND"


class InvalidEntityState(InvalidArgument):
    """Only handlers of an entity change its state, by `ctx.state`; its readers, other functions and appends do not."""

    code = "INVALID_ENTITY_STATE"


class EntityStateReadOnly(FailedPrecondition):
    """The handler reads its entity: it may not change the state."""

    code = "ENTITY_STATE_READ_ONLY"


class EntityStateTooLarge(PayloadTooLarge):
    """The state of an entity is larger than the server accepts."""

    code = "ENTITY_STATE_TOO_LARGE"


class JobEntity(Message, kw_only=True):
    """The entity of a job, for workers of ours. state: what the execution begins with. is_new: there is none.

    read_only: the handler may not change it. number: of the last change that the run has made; 0 for none.
    """

    entity: str
    key: str
    state: Json | None = None
    is_new: bool = False
    read_only: bool = False
    number: int = 0


class ChangedState(Message, kw_only=True):
    """The state that a report sets. number: of the change within its run, from 1, the same in every replay.

    Past what is recorded it is above those that the run has made, also where the replayed code has made fewer.
    """

    state: Json
    number: Annotated[int, field(ge=1)]


class GetEntity(Message, kw_only=True):
    """entity: its name, such as `payment`. key: of the one to read."""

    entity: str
    key: str

    @property
    def entity_id(self) -> str:
        """Of its stream: what policies are about."""
        return stream_of(self.entity, self.key)


class Entity(Message, kw_only=True):
    """entity_id: of its stream. version: of that stream, with the event that run_id brought the state by."""

    entity: str
    key: str
    entity_id: str
    state: Json
    version: int
    updated_at: datetime
    run_id: str | None = None


class ListEntities(Message, kw_only=True):
    """after the cursor, by key."""

    entity: str
    limit: Annotated[int, field(ge=1, le=1_000)] = 100
    cursor: str = ""

    @property
    def entity_id(self) -> str:
        """What the ids of their streams begin with: what policies are about."""
        return stream_of(self.entity, "")


class Entities(Message, kw_only=True):
    entities: list[Entity]
    next_cursor: str | None = None


get = operation(
    "entities.get", GetEntity, Entity,
    rest="GET /api/v1/entities/{entity}/{key...}", scope="entities:read", errors=(EntityNotFound,),
    doc="The state of an entity, as its handlers have recorded it.",
)  # fmt: skip
list_ = operation(
    "entities.list", ListEntities, Entities,
    rest="GET /api/v1/entities/{entity}", scope="entities:read",
    doc="The states of the entities of one name, by key.",
)  # fmt: skip
