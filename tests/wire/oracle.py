"""Google's own protobuf, reading and writing beside ours, from the descriptors that the package ships.

`TEST` describes one service more, for streams that no feature has.
"""

import base64
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from ironflow.transports.protobuf.schema import Schema

DESCRIPTORS = files("ironflow").joinpath("proto/ironflow.binpb").read_bytes()
_TYPES = {
    "int32": 5,
    "int64": 3,
    "string": 9,
    "message": 11,
}


def _test_files() -> descriptor_pb2.FileDescriptorSet:
    """TestService/{Count, Echo, Drain, Once}, from CountRequest to CountResponse, and Google's error details."""
    made = descriptor_pb2.FileDescriptorSet()
    test = made.file.add(name="test.proto", package="ironflow.v1", syntax="proto3")
    _message(test, "CountRequest", ("to", "int32"), ("then", "string"), ("bytes_each", "int32"))
    _message(test, "CountResponse", ("number_value", "int64"), ("filling", "string"))
    service = test.service.add(name="TestService")
    for name, streams in (("Count", (False, True)), ("Echo", (True, True)), ("Drain", (True, True)), ("Once", ())):
        method = service.method.add(
            name=name, input_type=".ironflow.v1.CountRequest", output_type=".ironflow.v1.CountResponse"
        )
        if streams:
            method.client_streaming, method.server_streaming = streams
    rpc = made.file.add(name="rpc.proto", package="google.rpc", syntax="proto3")
    rpc.dependency.append("google/protobuf/duration.proto")
    info = _message(rpc, "ErrorInfo", ("reason", "string"), ("domain", "string"))
    entry = info.nested_type.add(name="MetadataEntry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, type=9, label=1)  # type: ignore[arg-type]
    info.field.add(name="metadata", number=3, type=11, label=3, type_name=".google.rpc.ErrorInfo.MetadataEntry")  # type: ignore[arg-type]
    retry = rpc.message_type.add(name="RetryInfo")
    retry.field.add(name="retry_delay", number=1, type=11, label=1, type_name=".google.protobuf.Duration")  # type: ignore[arg-type]
    return made


def _message(file: Any, name: str, *fields: tuple[str, str]) -> Any:
    message = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields, 1):
        message.field.add(name=field, number=number, type=_TYPES[kind], label=1)
    return message


_ADDED = _test_files()
_POOL = descriptor_pool.DescriptorPool()
for _file in [*descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS).file, *_ADDED.file]:
    _POOL.Add(_file)

# The package's descriptors and those of the test service, as our own reader has them.
SCHEMA = Schema(DESCRIPTORS + _ADDED.SerializeToString())


def kind(name: str) -> type[Message]:
    """Google's class of a message by its full name, or by its name within the package."""
    full = name if "." in name else f"ironflow.v1.{name}"
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full))


def requests_and_responses(rpc: str) -> tuple[type[Message], type[Message]]:
    """rpc: `Service/Method`."""
    service, _, name = rpc.partition("/")
    method = _POOL.FindServiceByName(f"ironflow.v1.{service}").methods_by_name[name]
    return message_factory.GetMessageClass(method.input_type), message_factory.GetMessageClass(method.output_type)


def plain(message: Message) -> Any:
    """A message as plain data: snake_case, enums as numbers, zeros of fields without presence omitted."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)


def made(of: type[Message], values: Any) -> Message:
    return json_format.ParseDict(values, of(), ignore_unknown_fields=True)


def detail(entry: dict[str, Any]) -> Message:
    """One of the `details` of an error."""
    text = entry["value"]
    return kind(entry["type"]).FromString(base64.b64decode(text + "=" * (-len(text) % 4)))
