"""What can be asked of topics. Source: protocol/connectrpc.md 5.3, protocol/step-semantics.md 8."""

from datetime import datetime
from typing import Annotated

import msgspec

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation


class InvalidTopic(InvalidArgument):
    """A topic has 1 to 256 characters without spaces or wildcards and does not start with a reserved prefix."""

    code = "INVALID_TOPIC"


class Publish(Message, kw_only=True):
    """The same idempotency_key on a topic within 7 days answers the first message again."""

    topic: Annotated[str, field(1)]
    data: Annotated[Json, field(2, twin=4)] = msgspec.field(default_factory=null)
    idempotency_key: Annotated[str, field(3)] = ""


class Published(Message, kw_only=True):
    """sequence: the message's position in the log. duplicate: it had been published before."""

    event_id: Annotated[str, field(1)]
    sequence: Annotated[int, field(2, int64=True)]
    duplicate: Annotated[bool, field(3)] = False


class ListTopics(Message, kw_only=True):
    """limit, cursor: our own; over RPC the first thousand are returned."""

    limit: Annotated[int, field(ge=1, le=10_000)] = 1000
    cursor: str = ""


class TopicInfo(Message, kw_only=True):
    """consumer_count: consumer groups and plain subscriptions that read the topic."""

    name: Annotated[str, field(1)]
    message_count: Annotated[int, field(2, int64=True)]
    consumer_count: Annotated[int, field(3)]
    first_message_at: Annotated[datetime, field(4)]
    last_message_at: Annotated[datetime, field(5)]


class Topics(Message, kw_only=True):
    topics: Annotated[list[TopicInfo], field(1)]
    next_cursor: str | None = None


class GetTopicStats(Message, kw_only=True):
    topic: Annotated[str, field(1)]


class TopicStats(Message, kw_only=True):
    """A topic exists as soon as it is named: one that nothing was published to has zeros.

    consumer_count: groups and plain subscriptions that read it, at all nodes.
    lag: messages that the slowest group that reads the topic has not begun or not settled, counted up to 10,000.
    What that group has begun and not settled of other topics counts too. first_seq, last_seq: places in the log.
    """

    name: Annotated[str, field(1)]
    message_count: Annotated[int, field(2, int64=True)]
    consumer_count: Annotated[int, field(3)]
    lag: Annotated[int, field(4, int64=True)]
    first_seq: Annotated[int, field(5, int64=True)]
    last_seq: Annotated[int, field(6, int64=True)]


publish = operation(
    "pubsub.publish", Publish, Published,
    rest="POST /api/v1/topics/publish", rpc="PubSubService/Publish", spelling="both",
    scope="topics:publish", adds="events", errors=(InvalidTopic,),
    doc="Records a message to a topic. It starts no function and satisfies no wait.",
)  # fmt: skip
list_ = operation(
    "pubsub.list_topics", ListTopics, Topics,
    rest="GET /api/v1/topics", rpc="PubSubService/ListTopics", scope="topics:read",
    doc="The topics of this environment by name, with how much was published to each.",
)  # fmt: skip
stats = operation(
    "pubsub.topic_stats", GetTopicStats, TopicStats,
    rest="GET /api/v1/topics/{topic...}", rpc="PubSubService/GetTopicStats", scope="topics:read",
    doc="One topic: its messages, who reads it and how far behind the slowest reader is.",
)  # fmt: skip
