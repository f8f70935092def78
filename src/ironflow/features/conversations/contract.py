"""The socket at `/ws`, and the errors of its frames. Source: protocol/websocket.md 1."""

from ironflow.base.errors import InvalidArgument, ResourceExhausted
from ironflow.base.socket import SocketRoute
from ironflow.features.subscriptions.contract import ASKS


class InvalidMessage(InvalidArgument):
    """A frame is a JSON object with a `type`, and with the fields of its type."""

    code = "INVALID_MESSAGE"


class UnknownType(InvalidArgument):
    """Frames are of type `subscribe`, `unsubscribe` or `ack`."""

    code = "UNKNOWN_TYPE"


class TooManySubscriptions(ResourceExhausted):
    """This connection has as many subscriptions as a connection may have. Use wider patterns or a second connection."""

    code, retryable = "TOO_MANY_SUBSCRIPTIONS", False


socket = SocketRoute(
    "conversations.socket", "/ws", scope="events:subscribe", asks=ASKS,
    doc="Any number of subscriptions over one WebSocket: frames `subscribe`, `unsubscribe` and `ack`.",
)  # fmt: skip
