"""What runners ask: a lease, the events, a place for what they made of them."""

from datetime import datetime, timedelta
from typing import Annotated

from ironflow.base.errors import (
    Aborted,
    InvalidArgument,
    PayloadTooLarge,
    Unimplemented,
)
from ironflow.base.fields import Message, WireEnum, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.projections.contract.registry import (
    PATH,
    ProjectionNotFound,
    WrongMode,
)


class InvalidSave(InvalidArgument):
    """The save names a place in the log that does not exist."""

    code = "INVALID_SAVE"


class StateTooLarge(PayloadTooLarge):
    """The state is larger than this server keeps. Partition the projection, or keep less in its state."""

    code = "STATE_TOO_LARGE"


class LeaseLost(Aborted):
    """projection lease lost: another runner has it, or the projection is built anew. Acquire it again."""

    code = "PROJECTION_LEASE_LOST"


class StaleSave(Aborted):
    """The events of this save were not fed to the version of the projection that is built now. Load it again."""

    code = "STALE_SAVE"


class GenerationReplaced(Aborted):
    """This version of the projection is not served any more: it was built anew."""

    code = "GENERATION_REPLACED"


class RebuiltByPolls(Unimplemented):
    """A runner without a lease that streams keeps its old state in memory. It polls until the rebuild has ended."""

    code = "REBUILT_BY_POLLS"


class EventKind(WireEnum):
    EVENT = "event"
    HEARTBEAT = "heartbeat"

    @classmethod
    def prefix(cls) -> str:
        return "PROJECTION_EVENT_KIND_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"event": 1, "heartbeat": 2}


class Lease(Message, kw_only=True):
    token: Annotated[str, field(1)]
    epoch: Annotated[int, field(2, int64=True)]


class Acquire(Message, kw_only=True):
    """Ours: feeds_both: while the projection is built anew, the runner feeds the version that readers see as well."""

    name: Annotated[str, field(1)]
    feeds_both: bool = False


class Acquired(Message, kw_only=True):
    """granted: false while another runner holds the lease.

    Ours: served: while the projection is built anew, the version that readers see, for a runner that feeds both.
    """

    granted: Annotated[bool, field(1)]
    lease: Annotated[Lease | None, field(2)] = None
    ttl: Annotated[timedelta | None, field(3)] = None
    served: str | None = None


class HeldLease(Message, kw_only=True):
    name: Annotated[str, field(1)]
    lease: Annotated[Lease | None, field(2)] = None


class Renewed(Message, kw_only=True):
    ttl: Annotated[timedelta, field(1)]


class Poll(Message, kw_only=True):
    """batch_size: 0 for 100. partition: events of that one only.

    Ours: generation: as `Acquired.served`; empty for the version that is built anew, where one is.
    """

    name: Annotated[str, field(1)]
    batch_size: Annotated[int, field(2, ge=0)] = 0
    partition: Annotated[str, field(3)] = ""
    lease: Annotated[Lease | None, field(4)] = None
    generation: str = ""


class ProjectionEvent(Message, kw_only=True):
    """An event as runners get it; its partition is in the metadata as `__partition`. A heartbeat has only its kind.

    version, entity_...: ours, in JSON only.
    """

    id: Annotated[str | None, field(1)] = None
    name: Annotated[str | None, field(2)] = None
    data: Annotated[Json | None, field(3, twin=9)] = None
    seq: Annotated[int | None, field(4, int64=True)] = None
    timestamp: Annotated[datetime | None, field(5)] = None
    source: Annotated[str | None, field(6)] = None
    metadata: Annotated[Json | None, field(7)] = None
    kind: Annotated[EventKind, field(8)] = EventKind.EVENT
    version: int | None = None
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


class Polled(Message, kw_only=True):
    """current_state: of the global partition. last_event_seq: the cursor after which the events begin."""

    events: Annotated[list[ProjectionEvent], field(1)]
    current_state: Annotated[Json | None, field(2, twin=4)] = None
    last_event_seq: Annotated[int, field(3, int64=True)] = 0


class SaveState(Message, kw_only=True):
    """partition_key: empty means the global one. last_event_seq: position of the last event folded into the state.

    Ours: generation: as in Poll.
    """

    name: Annotated[str, field(1)]
    partition_key: Annotated[str, field(2)] = ""
    state: Annotated[Json | None, field(3, twin=7)] = None
    last_event_id: Annotated[str, field(4)] = ""
    last_event_seq: Annotated[int, field(5, int64=True)] = 0
    last_event_time: Annotated[datetime | None, field(6)] = None
    lease: Annotated[Lease | None, field(8)] = None
    generation: str = ""


class PartitionState(Message, kw_only=True):
    """As in SaveState."""

    partition_key: str = ""
    state: Json | None = None
    last_event_id: str = ""
    last_event_seq: int = 0
    last_event_time: datetime | None = None


class SaveStates(Message, kw_only=True):
    """The states of several partitions, saved together or not at all. generation: as in Poll."""

    name: str
    states: list[PartitionState]
    lease: Lease | None = None
    generation: str = ""


class Ack(Message, kw_only=True):
    name: Annotated[str, field(1)]
    last_event_id: Annotated[str, field(2)] = ""
    last_event_seq: Annotated[int, field(3, int64=True)] = 0
    lease: Annotated[Lease | None, field(4)] = None


class Ok(Message, kw_only=True):
    ok: Annotated[bool, field(1)] = True


class Follow(Message, kw_only=True):
    """The events of a projection as they come, from its cursor. Ours: generation: as in Poll."""

    name: Annotated[str, field(1)]
    batch_size: Annotated[int, field(2, ge=0)] = 0
    partition: Annotated[str, field(3)] = ""
    accept_heartbeats: Annotated[bool, field(4)] = False
    lease: Annotated[Lease | None, field(5)] = None
    generation: str = ""


acquire_lease = operation(
    "projections.acquire_lease", Acquire, Acquired,
    rpc="ProjectionService/AcquireProjectionLease", scope="projections:run", errors=(ProjectionNotFound,),
    doc="Makes the caller the projection's only runner, unless another one is.",
)  # fmt: skip
renew_lease = operation(
    "projections.renew_lease", HeldLease, Renewed,
    rpc="ProjectionService/RenewProjectionLease", scope="projections:run", errors=(ProjectionNotFound, LeaseLost),
    under_way=True,
    doc="Keeps a lease for another while.",
)  # fmt: skip
release_lease = operation(
    "projections.release_lease", HeldLease, None,
    rpc="ProjectionService/ReleaseProjectionLease", scope="projections:run",
    doc="Gives a lease back. It never fails: a lease that is not held any more needs no release.",
)  # fmt: skip
poll = operation(
    "projections.poll", Poll, Polled, holds=True,
    rpc="ProjectionService/PollProjectionEvents", scope="projections:run",
    errors=(ProjectionNotFound, LeaseLost, GenerationReplaced),
    doc="The next events after the cursor. It moves no cursor; an empty answer is held back for up to a second.",
)  # fmt: skip
follow = operation(
    "projections.follow", Follow, ProjectionEvent, streaming="server",
    rpc="ProjectionService/StreamProjectionEvents", scope="projections:run",
    errors=(ProjectionNotFound, LeaseLost, GenerationReplaced, RebuiltByPolls), refused_by_status=True,
    doc="""The events after the cursor, and then each as it comes. The stream ends when the runner has to start again
    from what is saved: a refused or late save, another version, a lost lease.""",
)  # fmt: skip
save = operation(
    "projections.save", SaveState, Ok,
    rpc="ProjectionService/SaveProjectionState", scope="projections:run",
    errors=(ProjectionNotFound, LeaseLost, GenerationReplaced, StaleSave, InvalidSave, WrongMode, StateTooLarge),
    under_way=True,
    doc="Stores the state of a partition and its cursor in one transaction. A repetition changes nothing.",
)  # fmt: skip
save_many = operation(
    "projections.save_many", SaveStates, Ok,
    rest=f"POST {PATH}/states", scope="projections:run",
    errors=(ProjectionNotFound, LeaseLost, GenerationReplaced, StaleSave, InvalidSave, WrongMode, StateTooLarge),
    under_way=True,
    doc="As `save`, for several partitions in one transaction.",
)  # fmt: skip
ack = operation(
    "projections.ack", Ack, Ok,
    rpc="ProjectionService/AckProjectionEvents", scope="projections:run",
    errors=(ProjectionNotFound, LeaseLost, StaleSave, InvalidSave, WrongMode),
    under_way=True,
    doc="Moves the cursor of an external projection.",
)  # fmt: skip
