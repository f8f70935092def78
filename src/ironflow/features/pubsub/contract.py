"""What can be asked of topics. Source: protocol/connectrpc.md 5.3, protocol/step-semantics.md 8."""

from typing import Annotated

import msgspec

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation


class InvalidTopic(InvalidArgument):
    """A topic has 1 to 256 characters without spaces or wildcards and does not start with a reserved word."""

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


publish = operation(
    "pubsub.publish", Publish, Published,
    rest="POST /api/v1/topics/publish", rpc="PubSubService/Publish", spelling="both",
    scope="topics:publish", errors=(InvalidTopic,),
    doc="Records a message to a topic. It starts no function and satisfies no wait.",
)  # fmt: skip
