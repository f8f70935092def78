"""Which fields of requests a codec encodes, and which requests would have the server read what it hides."""

from typing import Any

import msgspec
from msgspec.structs import replace

from ironflow.base.json import Json
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.messages import contract as messages
from ironflow.features.pubsub import contract as pubsub
from ironflow.features.schedules import contract as schedules
from ironflow.features.streams import contract as streams
from ironflow.features.subscriptions import contract as subscriptions
from ironflow.sdk.values.codec import Codec, CodecHidesData, check_reads_no_data
from ironflow.sdk.values.payload import as_json_text

# Payloads by request; of the messages in it, too.
_FIELDS: dict[type[msgspec.Struct], tuple[str, ...]] = {
    events.Emit: ("data",),
    events.NamespacedEmit: ("data",),
    events.EmitSync: ("data",),
    events.Invoke: ("data",),
    events.InvokeSync: ("data",),
    streams.AppendEvent: ("data",),
    streams.StreamAppend: ("data",),
    streams.CreateSnapshot: ("state",),
    pubsub.Publish: ("data",),
    messages.SendMessage: ("data", "input"),
    messages.Ask: ("data", "input"),
    controls.PatchStep: ("output",),
    schedules.CreateSchedule: ("input",),
    schedules.ChangeSchedule: ("input",),
}


def encoded_request(request: Any, codec: Codec) -> Any:
    """The request with its payloads in envelopes. Raises CannotEncode, CodecHidesData."""
    match request:
        case events.EmitBatch():
            return replace(request, events=[_batch_item(each, codec) for each in request.events])
        case streams.AppendMany():
            return replace(request, appends=[encoded_request(each, codec) for each in request.appends])
        case controls.InjectOutput():
            plain = msgspec.json.decode(bytes(request.new_output), type=str)
            return replace(request, new_output=as_json_text(codec.encoded(msgspec.Raw(plain.encode()))))
        case events.Invoke() | events.InvokeSync() if request.entity_key:
            raise CodecHidesData(
                f"{request.function_id!r} is a handler of an entity, which workers with a codec do not have. Call it "
                "with a client without a codec."
            )
        case groups.CreateGroup():
            check_reads_no_data(request.filter_expr, f"the filter of group {request.name!r}")
        case groups.UpdateGroup():
            return replace(request, group=encoded_request(request.group, codec))
        case groups.GroupChange() if request.filter_expr:
            check_reads_no_data(request.filter_expr, f"the filter of group {request.name!r}")
        case subscriptions.Subscribe() if request.options is not None:
            check_reads_no_data(request.options.filter, "the filter of a subscription")
        case _:
            pass
    given = {name: getattr(request, name) for name in _FIELDS.get(type(request), ())}
    found = {name: _encoded(value, codec) for name, value in given.items() if value is not None}
    return replace(request, **found) if found else request


def _batch_item(item: Json, codec: Codec) -> Json:
    members = msgspec.json.decode(bytes(item), type=dict[str, msgspec.Raw])
    members["data"] = codec.encoded(members.get("data", msgspec.Raw(b"null")))
    return Json(msgspec.json.encode(members))


def _encoded(payload: Any, codec: Codec) -> Json:
    return Json(bytes(codec.encoded(msgspec.Raw(bytes(payload)))))
