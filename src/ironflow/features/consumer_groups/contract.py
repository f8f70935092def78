"""What can be asked of consumer groups. Source: protocol/connectrpc.json, protocol/connectrpc.md 5.3, behaviour.md 8.

Numbers that are left out or 0 mean the default. PATCH is our own, REST only.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from ironflow.base.cel import InvalidExpression
from ironflow.base.errors import AlreadyExists, InvalidArgument, NotFound
from ironflow.base.fields import Message, WireEnum, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation
from ironflow.base.pattern import InvalidPattern
from ironflow.features.dead_letters.contract import GroupNotFound, InvalidGroup

# Work that takes longer than half a day belongs into a run.
DELAY_MS_MAX = 12 * 3600 * 1000
INFLIGHT_MAX = 10_000
REDELIVERIES_MAX = 10_000


class GroupExists(AlreadyExists):
    """There is a consumer group of that name in this environment and namespace already."""

    code = "CONSUMER_GROUP_EXISTS"


class MemberNotFound(NotFound):
    """The group has no such member any more. Join again; its unsettled events are delivered to other members."""

    code = "GROUP_MEMBER_NOT_FOUND"


class InvalidAck(InvalidArgument):
    """An ack says `ack`, `nak` or `term`; only a nak has a delay, of at most 12 hours."""

    code = "INVALID_ACK"


class AckMode(WireEnum):
    """auto: settled when it is written to the member's connection. manual: when the member says so."""

    AUTO = "auto"
    MANUAL = "manual"

    @classmethod
    def prefix(cls) -> str:
        return "ACK_MODE_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"auto": 1, "manual": 2}


class BackpressureMode(WireEnum):
    """What happens when members are slower than events: forget the newest, stop reading, or queue first."""

    DROP = "drop"
    BLOCK = "block"
    BUFFER = "buffer"

    @classmethod
    def prefix(cls) -> str:
        return "BACKPRESSURE_MODE_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"drop": 1, "block": 2, "buffer": 3}


class GroupStatus(WireEnum):
    """paused: members stay, nothing is handed out, the position stands. deleted: a filter that finds nothing."""

    ACTIVE = "active"
    PAUSED = "paused"
    DELETED = "deleted"

    @classmethod
    def prefix(cls) -> str:
        return "CONSUMER_GROUP_STATUS_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"active": 1, "paused": 2, "deleted": 3}


class AckType(WireEnum):
    """ack: done. nak: deliver again later. term: never deliver again."""

    ACK = "ack"
    NAK = "nak"
    TERM = "term"

    @classmethod
    def prefix(cls) -> str:
        return "ACK_TYPE_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"ack": 1, "nak": 2, "term": 3}


class AckResultCode(WireEnum):
    OK = "ok"
    INVALID_ARGUMENT = "invalid_argument"
    INTERNAL = "internal"
    NOT_FOUND = "not_found"

    @classmethod
    def prefix(cls) -> str:
        return "ACK_RESULT_CODE_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"ok": 1, "invalid_argument": 2, "internal": 3, "not_found": 4}


class ConsumerGroup(Message, kw_only=True):
    """A group. Fields without a protobuf number are returned only by GET of one group over REST.

    position: the log is read up to here. lag: matching records after it, counted up to 10,000.
    in_flight: held by members. waiting: to be delivered again. dropped: skipped by backpressure `drop`.
    """

    id: Annotated[str, field(1)] = ""
    namespace: Annotated[str, field(2)] = "default"
    name: Annotated[str, field(3)] = ""
    pattern: Annotated[str, field(4)] = ""
    filter_expr: Annotated[str, field(5)] = ""
    ack_mode: Annotated[AckMode, field(6)] = AckMode.AUTO
    backpressure: Annotated[BackpressureMode, field(7)] = BackpressureMode.BUFFER
    max_inflight: Annotated[int, field(8)] = 0
    max_redeliveries: Annotated[int, field(9)] = 0
    redeliver_delay_ms: Annotated[int, field(10)] = 0
    ack_wait_ms: Annotated[int, field(only="rest")] = 0
    metadata: Annotated[Json | None, field(11)] = None
    status: Annotated[GroupStatus, field(12)] = GroupStatus.ACTIVE
    member_count: Annotated[int, field(13)] = 0
    created_at: Annotated[datetime | None, field(14)] = None
    updated_at: Annotated[datetime | None, field(15)] = None
    position: Annotated[int | None, field(only="rest")] = None
    lag: Annotated[int | None, field(only="rest")] = None
    in_flight: Annotated[int | None, field(only="rest")] = None
    waiting: Annotated[int | None, field(only="rest")] = None
    dead_letters: Annotated[int | None, field(only="rest")] = None
    dropped: Annotated[int | None, field(only="rest")] = None


class CreateGroup(Message, kw_only=True):
    namespace: Annotated[str, field(1)] = ""
    name: Annotated[str, field(2)]
    pattern: Annotated[str, field(3)]
    filter_expr: Annotated[str, field(4, also=("filter",))] = ""
    ack_mode: Annotated[AckMode, field(5)] = AckMode.AUTO
    backpressure: Annotated[BackpressureMode, field(6)] = BackpressureMode.BUFFER
    max_inflight: Annotated[int, field(7)] = 0
    max_redeliveries: Annotated[int, field(8)] = 0
    redeliver_delay_ms: Annotated[int, field(9)] = 0
    ack_wait_ms: int = 0
    metadata: Annotated[Json | None, field(10)] = None


class NamedGroup(Message, kw_only=True):
    namespace: Annotated[str, field(1)] = ""
    name: Annotated[str, field(2)]


class ListGroups(Message, kw_only=True):
    """namespace: of this one only; empty for all. limit: 0 means 100."""

    namespace: Annotated[str, field(1)] = ""
    status: Annotated[GroupStatus | None, field(2)] = None
    limit: Annotated[int, field(3, ge=0, le=1000)] = 0
    cursor: Annotated[str, field(4)] = ""


class Groups(Message, kw_only=True):
    groups: Annotated[list[ConsumerGroup], field(1)]
    next_cursor: Annotated[str | None, field(2)] = None
    total_count: Annotated[int, field(3)]


class GroupChange(Message, kw_only=True):
    """Changes the fields that are given; name and namespace identify the group. max_redeliveries 0: none at all."""

    namespace: Annotated[str, field(2)] = ""
    name: Annotated[str, field(3)]
    pattern: Annotated[str | None, field(4)] = None
    filter_expr: Annotated[str | None, field(5, also=("filter",))] = None
    ack_mode: Annotated[AckMode | None, field(6)] = None
    backpressure: Annotated[BackpressureMode | None, field(7)] = None
    max_inflight: Annotated[int | None, field(8)] = None
    max_redeliveries: Annotated[int | None, field(9)] = None
    redeliver_delay_ms: Annotated[int | None, field(10)] = None
    ack_wait_ms: int | None = None
    metadata: Annotated[Json | None, field(11)] = None
    status: Annotated[GroupStatus | None, field(12)] = None


class UpdateGroup(Message, kw_only=True):
    """update_mask: the fields to change, such as `maxInflight,status`, also to 0; without it those that are given."""

    group: Annotated[GroupChange, field(1)]
    update_mask: Annotated[str, field(2, mask=True)] = ""


class EventMetadata(Message, kw_only=True):
    """custom: what the sender gave as metadata."""

    timestamp: Annotated[datetime, field(1)]
    source: Annotated[str, field(2)] = ""
    namespace: Annotated[str, field(3)] = "default"
    custom: Annotated[Json | None, field(4)] = None


class SubscriptionEvent(Message, kw_only=True):
    """One event. subscription_id: of a group's event the member's id, with which it is acked.

    sequence: its place in the log, or among the system's events. delivery_attempt: of a group's event, from 1.
    For members that `settle`: ack_wait_ms: the time to settle or extend it; auto_ack: whether its handler does not.
    """

    subscription_id: Annotated[str, field(1)]
    event_id: Annotated[str, field(2)]
    topic: Annotated[str, field(3)]
    data: Annotated[Json, field(4, twin=8)] = msgspec.field(default_factory=null)
    metadata: Annotated[EventMetadata | None, field(5)] = None
    sequence: Annotated[int, field(6, int64=True)] = 0
    delivery_attempt: Annotated[int, field(7)] = 0
    ack_wait_ms: int | None = None
    auto_ack: bool | None = None


class JoinGroup(Message, kw_only=True):
    """consumer_id is passed over: the server makes the member's id. client_id: shown to operators.

    prefetch: deliveries that this member has unsettled at a time; 0 for as many as the group allows.
    settles: the member settles each event itself, also in a group of mode `auto`; its events say which mode it is.
    """

    namespace: Annotated[str, field(1)] = ""
    group_name: Annotated[str, field(2, also=("name",))]
    consumer_id: Annotated[str, field(3)] = ""
    client_id: Annotated[str, field(4, max_length=256)] = ""
    prefetch: Annotated[int, field(ge=0, le=INFLIGHT_MAX)] = 0
    settles: bool | None = None


class AckEvent(Message, kw_only=True):
    """consumer_id: the event's subscription_id. redeliver_delay_ms: of a nak; 0 for the group's own."""

    namespace: Annotated[str, field(1)] = ""
    group_name: Annotated[str, field(2)] = ""
    consumer_id: Annotated[str, field(3)]
    event_id: Annotated[str, field(4)]
    ack_type: Annotated[AckType | None, field(5)] = None
    redeliver_delay_ms: Annotated[int, field(6)] = 0


class Acked(Message, kw_only=True):
    """settled: whether it counted. Acking an event that is not in flight with that member any more succeeds too."""

    settled: Annotated[bool, field(only="rest")] = True


class ExtendEvents(Message, kw_only=True):
    """consumer_id: the events' subscription_id."""

    namespace: str = ""
    group_name: str = ""
    consumer_id: str
    event_ids: Annotated[list[str], field(max_length=INFLIGHT_MAX)]


class Extended(Message, kw_only=True):
    """event_ids: those that the member holds. The others are settled, or with another member by now."""

    event_ids: list[str]


class SubscriptionAck(Message, kw_only=True):
    event_id: Annotated[str, field(1)]
    ack_type: Annotated[AckType | None, field(2)] = None
    redeliver_delay_ms: Annotated[int, field(3)] = 0
    ack_id: Annotated[int, field(4, int64=True)] = 0


class ToServer(Message, kw_only=True):
    """A frame of a member: `join` first, then acks."""

    join: Annotated[JoinGroup | None, field(1)] = None
    ack: Annotated[SubscriptionAck | None, field(2)] = None


class Joined(Message, kw_only=True):
    subscription_id: Annotated[str, field(1)]
    group_name: Annotated[str, field(2)]
    pattern: Annotated[str, field(3)]
    ack_mode: Annotated[AckMode, field(4)]


class AckResult(Message, kw_only=True):
    """ack_id: the ack's own. message: empty when it is ok and counted."""

    ack_id: Annotated[int, field(1, int64=True)]
    event_id: Annotated[str, field(2)]
    code: Annotated[AckResultCode, field(3)]
    message: Annotated[str, field(4)] = ""


class StreamHeartbeat(Message, kw_only=True):
    """Sent while there is nothing else to send."""


class FromServer(Message, kw_only=True):
    """A frame to a member; exactly one field is set."""

    joined: Annotated[Joined | None, field(1)] = None
    event: Annotated[SubscriptionEvent | None, field(2)] = None
    ack_result: Annotated[AckResult | None, field(3)] = None
    heartbeat: Annotated[StreamHeartbeat | None, field(4)] = None


_GROUPS = "/api/v1/consumer-groups"
_GROUP = _GROUPS + "/{name}"

create = operation(
    "consumer_groups.create", CreateGroup, ConsumerGroup,
    rest=f"POST {_GROUPS}", rpc="PubSubService/CreateConsumerGroup", success=201,
    scope="groups:write", errors=(GroupExists, InvalidGroup, InvalidPattern, InvalidExpression),
    doc="Creates a group; it begins with the next event.",
)  # fmt: skip
get = operation(
    "consumer_groups.get", NamedGroup, ConsumerGroup,
    rest=f"GET {_GROUP}", rpc="PubSubService/GetConsumerGroup",
    scope="groups:read", errors=(GroupNotFound,),
    doc="One group; over REST with its lag, what is in flight and what is dead.",
)  # fmt: skip
list_ = operation(
    "consumer_groups.list", ListGroups, Groups,
    rest=f"GET {_GROUPS}", rpc="PubSubService/ListConsumerGroups", scope="groups:read", errors=(InvalidGroup,),
    doc="The groups of this environment by namespace and name.",
)  # fmt: skip
update = operation(
    "consumer_groups.update", UpdateGroup, ConsumerGroup,
    rpc="PubSubService/UpdateConsumerGroup",
    scope="groups:write", errors=(GroupNotFound, InvalidGroup, InvalidPattern, InvalidExpression),
    doc="Changes the fields of a group that the mask names.",
)  # fmt: skip
patch = operation(
    "consumer_groups.patch", GroupChange, ConsumerGroup,
    rest=f"PATCH {_GROUP}",
    scope="groups:write", errors=(GroupNotFound, InvalidGroup, InvalidPattern, InvalidExpression),
    doc="Changes the given fields of a group; status pauses and resumes it.",
)  # fmt: skip
delete = operation(
    "consumer_groups.delete", NamedGroup, None,
    rest=f"DELETE {_GROUP}", rpc="PubSubService/DeleteConsumerGroup", scope="groups:write", errors=(GroupNotFound,),
    doc="Deletes a group with its position, deliveries and dead letters; its members are sent away.",
)  # fmt: skip
join = operation(
    "consumer_groups.join", JoinGroup, SubscriptionEvent,
    rpc="PubSubService/JoinConsumerGroup", streaming="server",
    scope="groups:consume", asks=("entities:read",), errors=(GroupNotFound, MemberNotFound),
    doc="The member's share of the group's events for as long as it stays.",
)  # fmt: skip
subscribe = operation(
    "consumer_groups.subscribe", ToServer, FromServer,
    rpc="PubSubService/SubscribeBidirectional", streaming="bidi",
    scope="groups:consume", asks=("entities:read",), errors=(GroupNotFound, MemberNotFound, InvalidAck),
    doc="A member's events and its acks on one stream.",
)  # fmt: skip
ack = operation(
    "consumer_groups.ack", AckEvent, Acked,
    rest=f"POST {_GROUPS}/ack", rpc="PubSubService/AckEvent",
    scope="groups:consume", errors=(GroupNotFound, MemberNotFound, InvalidAck),
    under_way=True,
    doc="Settles one delivery; what is not in flight with that member is no error.",
)  # fmt: skip
extend = operation(
    "consumer_groups.extend", ExtendEvents, Extended,
    rest=f"POST {_GROUPS}/extend",
    scope="groups:consume", errors=(GroupNotFound, MemberNotFound),
    under_way=True,
    doc="Gives a member the whole ack_wait_ms again, for events on which it still works.",
)  # fmt: skip
