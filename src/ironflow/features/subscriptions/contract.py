"""What can be asked of subscriptions. Source: protocol/websocket.md 1, protocol/connectrpc.md 5.3 and 7."""

from typing import Annotated

from ironflow.base.cel import InvalidExpression
from ironflow.base.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.pattern import InvalidPattern
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.consumer_groups.contract import AckMode, GroupNotFound, SubscriptionEvent
from ironflow.features.consumer_groups.contract import BackpressureMode as Backpressure

REPLAY_MAX = 1000
# What a caller must be allowed to read besides subscribing: by kind of topic, for the system's own topics by their
# first token. Source: protocol/connectrpc.md 7.
SHOWN = {
    "entity": "entities:read",
    "system.config": "config:read",
    "system.endpoint": "functions:read",
    "system.function": "functions:read",
    "system.projection": "projections:read",
    "system.run": "runs:read",
    "system.secret": "secrets:read",
    "system.stream": "entities:read",
    "system.worker": "workers:read",
}
READS = tuple(dict.fromkeys(SHOWN.values()))
# With a consumer group the caller also becomes its member, and creates it where there is none.
ASKS = (*READS, groups.join.scope, groups.create.scope)


class InvalidSubscription(InvalidArgument):
    """The options of the subscription contradict each other or are out of range."""

    code = "INVALID_SUBSCRIPTION"


class SlowConsumer(ResourceExhausted):
    """The subscriber reads more slowly than events come, and its buffer is full. Subscribe again; read faster, or with
    `startAfterSequence`, `backpressure: block` or a consumer group, which wait."""

    code = "SLOW_CONSUMER"


class SequenceNotKept(FailedPrecondition):
    """What followed that sequence is not kept any more. Subscribe without it."""

    code = "SEQUENCE_NOT_KEPT"


class SubscribeOptions(Message, kw_only=True):
    """replay: the last n matching events first, 1000 at most. start_after_sequence: all that follow it first; 0 for all
    there are; neither with a consumer_group.

    consumer_group: be a member of it; it is created as these options say when there is none. ack_mode: this member's.
    prefetch, settles: as of `JoinGroup`, over RPC. announces: the first answer has no topic, and says with its sequence
    what the events follow.
    """

    replay: Annotated[int, field(1)] = 0
    include_metadata: Annotated[bool, field(2)] = False
    filter: Annotated[str, field(3)] = ""
    namespace: Annotated[str, field(4)] = ""
    consumer_group: Annotated[str, field(5)] = ""
    ack_mode: Annotated[AckMode | None, field(6)] = None
    backpressure: Annotated[Backpressure | None, field(7)] = None
    start_after_sequence: Annotated[int | None, field(8, int64=True)] = None
    prefetch: Annotated[int, field(ge=0, le=groups.INFLIGHT_MAX)] = 0
    settles: bool | None = None
    announces: bool | None = None


class Subscribe(Message, kw_only=True):
    """pattern: `order.*`, `topic:mail`, `entity:cart.7.>`, `system.run.>`."""

    pattern: Annotated[str, field(1)]
    options: Annotated[SubscribeOptions | None, field(2)] = None


class Watch(Message, kw_only=True):
    """The same in a query. after: a sequence. last_event_id: sent by a browser that connects again; it wins."""

    pattern: str
    replay: int = 0
    after: Annotated[int | None, field(also=("start_after_sequence",))] = None
    filter: str = ""
    namespace: str = ""
    include_metadata: bool = False
    backpressure: Backpressure | None = None
    last_event_id: int | None = None


subscribe = operation(
    "subscriptions.subscribe", Subscribe, SubscriptionEvent,
    rpc="PubSubService/Subscribe", scope="events:subscribe", asks=ASKS, streaming="server", twins="value",
    errors=(InvalidPattern, InvalidExpression, InvalidSubscription, SlowConsumer, SequenceNotKept, GroupNotFound),
    doc="Events as they happen, after those asked to be replayed.",
)  # fmt: skip
watch = operation(
    "subscriptions.watch", Watch, SubscriptionEvent,
    rest="GET /api/v1/subscribe", scope="events:subscribe", asks=READS, streaming="server", spelling="camel",
    event_id="sequence", headers={"last-event-id": "last_event_id"},
    errors=(InvalidPattern, InvalidExpression, InvalidSubscription, SlowConsumer, SequenceNotKept),
    doc="The same as server-sent events, for curl and browsers.",
)  # fmt: skip
