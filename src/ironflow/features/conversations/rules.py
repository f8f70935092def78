"""The frames of `/ws`, read and written; pure. Source: protocol/websocket.md 1."""

from typing import Any

import msgspec

from ironflow.base.errors import IronflowError
from ironflow.base.json import write_json_text
from ironflow.base.spelling import reader
from ironflow.features.consumer_groups.contract import DELAY_MS_MAX, AckType
from ironflow.features.conversations.contract import InvalidMessage
from ironflow.features.subscriptions.contract import Subscribe

_NOTHING = msgspec.Raw(b"")


class Wanted(msgspec.Struct):
    """One subscription that is asked for. pattern: exactly as sent. error: why it cannot be read."""

    pattern: str
    request: Subscribe | None = None
    error: IronflowError | None = None


class Frame(msgspec.Struct, rename="camel"):
    """A frame of a client, of any type."""

    type: str = ""
    subscription: msgspec.Raw = _NOTHING
    subscriptions: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    subscription_id: str = ""
    event_id: str = ""
    ack_type: str = ""
    redeliver_delay: int | float | None = None

    @property
    def wanted(self) -> list[Wanted]:
        """The subscriptions that a frame of type subscribe asks for. Raises InvalidMessage where there is no field."""
        if not self.subscription and self.subscriptions is msgspec.UNSET:
            raise InvalidMessage(
                "A frame of type subscribe has `subscription`, an object with a pattern, or `subscriptions`, a list of "
                "them; this one has neither."
            )
        single = [self.subscription] if self.subscription else []
        return [_wanted(text) for text in (*single, *(self.subscriptions or ()))]


class _Named(msgspec.Struct):
    pattern: str = ""


_read_frame = msgspec.json.Decoder(Frame).decode
_read_named = msgspec.json.Decoder(_Named).decode


def read_frame(text: str | bytes) -> Frame:
    """Raises InvalidMessage."""
    try:
        return _read_frame(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidMessage(f"This is no frame: {fault}") from None


def ack_of(frame: Frame) -> tuple[AckType, int | None]:
    """The type of an ack, and the delay of a nak in ms, None for the group's own. Raises InvalidMessage."""
    try:
        ack_type = AckType.accept(frame.ack_type)
    except ValueError:
        ack_type = None
    if ack_type is None:
        raise InvalidMessage(f"The ackType of an ack is `ack`, `nak` or `term`, not {frame.ack_type[:40]!r}.")
    delay_ms = frame.redeliver_delay
    # Clients may send a default with every ack; only a nak has a delay.
    if delay_ms is None or ack_type is not AckType.NAK:
        return AckType(ack_type), None
    if not 0 <= delay_ms <= DELAY_MS_MAX:
        raise InvalidMessage(f"The redeliverDelay of a nak is 0 to {DELAY_MS_MAX} ms, not {delay_ms}.")
    return AckType.NAK, int(delay_ms)


def _wanted(text: msgspec.Raw) -> Wanted:
    try:
        pattern = _read_named(text).pattern
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        return Wanted("", error=InvalidMessage(f"This is no subscription: {fault}"))
    try:
        return Wanted(pattern, request=reader(Subscribe).read(text))
    except IronflowError as error:
        return Wanted(pattern, error=error)


def result_frame(results: list[dict[str, Any]]) -> str:
    return write_json_text({"type": "subscription_result", "results": results})


def accepted(pattern: str, subscription_id: str, sequence: int | None) -> dict[str, Any]:
    """sequence: what the events follow, None where that is not known."""
    where = {} if sequence is None else {"sequence": sequence}
    return {"pattern": pattern, "status": "ok", "subscriptionId": subscription_id, **where}


def refused(pattern: str, error: IronflowError) -> dict[str, Any]:
    return {"pattern": pattern, "status": "error", "code": error.code, "message": error.message}


def subscription_error_frame(subscription_id: str, error: IronflowError, retrying: bool) -> str:
    fields = {"type": "subscription_error", "subscriptionId": subscription_id}
    return write_json_text({**fields, "code": error.code, "message": error.message, "retrying": retrying})


def error_frame(error: IronflowError) -> str:
    return write_json_text({"type": "error", "code": error.code, "message": error.message})


def event_head(subscription_id: str) -> str:
    """How every event frame of a subscription begins."""
    return f'{{"type":"event","subscriptionId":"{subscription_id}",'


def event_frame(head: str, event: str) -> str:
    """event: the fields of the event, from the topic on."""
    return f"{head}{event}}}"
