"""What can be asked of subscriptions. Source: protocol/websocket.md 1, protocol/connectrpc.md 5.3 and 7."""

from typing import Annotated

from ironflow.base.cel import InvalidExpression
from ironflow.base.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.pattern import InvalidPattern
from ironflow.base.socket import SocketRoute
from ironflow.features.consumer_groups.contract import AckMode, GroupNotFound, SubscriptionEvent
from ironflow.features.consumer_groups.contract import BackpressureMode as Backpressure

REPLAY_MAX = 1000


class InvalidSubscription(InvalidArgument):
    """The options of the subscription contradict each other or are out of range."""

    code = "INVALID_SUBSCRIPTION"


class SlowConsumer(ResourceExhausted):
    """The subscriber reads more slowly than events come, and its buffer is full. Subscribe again; read faster, or with
    `startAfterSequence`, `backpressure: block` or a consumer group, which wait."""

    code = "SLOW_CONSUMER"


class TooManySubscriptions(ResourceExhausted):
    """This connection has as many subscriptions as a connection may have. Use wider patterns or a second connection."""

    code, retryable = "TOO_MANY_SUBSCRIPTIONS", False


class SequenceNotKept(FailedPrecondition):
    """What followed that sequence is not kept any more. Subscribe without it."""

    code = "SEQUENCE_NOT_KEPT"


class SubscribeOptions(Message, kw_only=True):
    """replay: the last n matching events first, 1000 at most. start_after_sequence: all that follow it first; 0 for all
    there are; neither with a consumer_group.

    consumer_group: be a member of it; it is created as these options say when there is none. ack_mode: this member's.
    """

    replay: Annotated[int, field(1)] = 0
    include_metadata: Annotated[bool, field(2)] = False
    filter: Annotated[str, field(3)] = ""
    namespace: Annotated[str, field(4)] = ""
    consumer_group: Annotated[str, field(5)] = ""
    ack_mode: Annotated[AckMode | None, field(6)] = None
    backpressure: Annotated[Backpressure | None, field(7)] = None
    start_after_sequence: Annotated[int | None, field(8, int64=True)] = None


class Subscribe(Message, kw_only=True):
    """pattern: `order.*`, `topic:mail`, `entity:cart.7.>`, `system.run.>`."""

    pattern: Annotated[str, field(1)]
    options: Annotated[SubscribeOptions | None, field(2)] = None


class Watch(Message, kw_only=True):
    """The same in a query. after: a sequence. last_event_id: what a browser says when it connects again; it wins."""

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
    rpc="PubSubService/Subscribe", scope="events:subscribe", streaming="server", twins="value",
    errors=(InvalidPattern, InvalidExpression, InvalidSubscription, SlowConsumer, SequenceNotKept, GroupNotFound),
    doc="Events as they happen, after those asked to be replayed.",
)  # fmt: skip
watch = operation(
    "subscriptions.watch", Watch, SubscriptionEvent,
    rest="GET /api/v1/subscribe", scope="events:subscribe", streaming="server", spelling="camel",
    event_id="sequence", headers={"last-event-id": "last_event_id"},
    errors=(InvalidPattern, InvalidExpression, InvalidSubscription, SlowConsumer, SequenceNotKept),
    doc="The same as server-sent events, for curl and browsers.",
)  # fmt: skip
socket = SocketRoute(
    "subscriptions.socket", "/ws", scope="events:subscribe",
    doc="Any number of subscriptions over one WebSocket: frames `subscribe`, `unsubscribe` and `ack`.",
)  # fmt: skip
