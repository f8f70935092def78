"""A request for any operation, made from its message; and answers read back by their message, whichever wire sent them.

A new operation is called over every transport without a change here; an entry in NAMED lets its request succeed.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode

import msgspec

from ironflow.base.fields import WireEnum, bare_type, fields_of
from ironflow.base.operation import Operation, Route
from ironflow.base.spelling import camel


@dataclass(frozen=True)
class Scene:
    """What is there when a request comes: ids by feature, and values by `field` or `feature.field`.

    always: values of fields that are sent even where they could be left out. own: by operation, what only it is sent.
    """

    ids: Mapping[str, str]
    named: Mapping[str, Any]
    always: Mapping[str, Any]
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


def sample(operation: Operation[Any, Any], scene: Scene) -> dict[str, Any]:
    """The required fields of the operation's request, and those in its paths, as plain data in snake_case."""
    in_path = {name for route in operation.rest for name in re.findall(r"\{(\w+)", route.path)}
    return {**_fields(operation.request, operation.feature, scene, in_path), **scene.own.get(operation.name, {})}


def _fields(
    message: type[msgspec.Struct], feature: str, scene: Scene, in_path: Set[str] = frozenset()
) -> dict[str, Any]:
    hints = get_type_hints(message, include_extras=True)
    values: dict[str, Any] = {}
    for info in msgspec.structs.fields(message):
        always = scene.always.get(f"{feature}.{info.name}", scene.always.get(info.name))
        if always is not None:
            values[info.name] = always
        elif info.required or info.name in in_path:
            values[info.name] = _value(info.name, hints[info.name], feature, scene)
    return values


def _value(name: str, hint: Any, feature: str, scene: Scene) -> Any:
    kind = bare_type(hint)
    if name == "id" and feature in scene.ids:
        return scene.ids[feature]
    for known in (f"{feature}.{name}", name):
        if known in scene.named:
            return scene.named[known]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _fields(kind, feature, scene)
    if isinstance(kind, type) and issubclass(kind, WireEnum):
        return next(iter(kind)).value
    if get_origin(kind) is list:
        return [_value(name, get_args(kind)[0], feature, scene)]
    plain: dict[Any, Any] = {str: "x", int: 1, float: 1.5, bool: True, bytes: "eA==", datetime: "2026-01-01T00:00:00Z"}
    return plain.get(kind, {})


def camel_keys(value: Any) -> Any:
    """The same request with camelCase keys, down to the fields of nested messages."""
    if isinstance(value, dict):
        return {camel(key): camel_keys(each) for key, each in value.items()}
    return [camel_keys(each) for each in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Sent:
    """A request as HTTP carries it."""

    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]


def by_rest(operation: Operation[Any, Any], route: Route, values: Mapping[str, Any]) -> Sent:
    """Path, query and body as the operation declares them."""
    left = dict(values)

    also = {other: name for name, declared in fields_of(operation.request).items() for other in declared.also}

    def put(match: re.Match[str]) -> str:
        return quote(str(left.pop(match[1] if match[1] in left else also[match[1]])), safe="")

    path = re.sub(r"\{(\w+)(?:\.\.\.)?\}", put, route.path)
    headers = {header: str(left.pop(name)) for header, name in operation.headers.items() if name in left}
    if operation.body is not None:
        body = str(left.pop(operation.body, "")).encode()
        return Sent(route.method, f"{path}?{urlencode(left)}" if left else path, body, headers)
    if route.method in ("GET", "DELETE"):
        texts = {name: ",".join(map(str, each)) if isinstance(each, list) else each for name, each in left.items()}
        return Sent(route.method, f"{path}?{urlencode(texts)}" if texts else path, None, headers)
    return Sent(route.method, path, msgspec.json.encode(left), headers)


def by_rpc(name: str, values: Any) -> Sent:
    return Sent("POST", f"/ironflow.v1.{name}", msgspec.json.encode(values), {"content-type": "application/json"})


def read_as(message: type[msgspec.Struct] | None, body: Any) -> Any:
    """The fields that both wires have, by name: one spelling, no twins, 64-bit texts as numbers, plain enums."""
    if message is None or body is None:
        return {}
    hints = get_type_hints(message, include_extras=True)
    found: dict[str, Any] = {}
    for name, declared in fields_of(message).items():
        if declared.only is not None:
            continue
        if name in body or camel(name) in body:
            value = body[name] if name in body else body[camel(name)]
            found[name] = int(value) if declared.int64 else _read(hints[name], value)
    return found


def _read(hint: Any, value: Any) -> Any:
    kind = bare_type(hint)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return read_as(kind, value)
    if isinstance(kind, type) and issubclass(kind, WireEnum):
        return kind.accept(value)
    if get_origin(kind) is list:
        return [_read(get_args(kind)[0], each) for each in value]
    if get_origin(kind) is dict:
        return {key: _read(get_args(kind)[1], each) for key, each in value.items()}
    return value


def spelled(message: type[msgspec.Struct], body: Any) -> dict[str, set[str]]:
    """Every key that the answer has for a field of a message, by the field's name; nested messages included."""
    found: dict[str, set[str]] = {}
    hints = get_type_hints(message, include_extras=True)
    for name in message.__struct_fields__:
        keys = {key for key in (name, camel(name)) if key in body}
        if keys:
            found.setdefault(name, set()).update(keys)
        for key in keys:
            kind = bare_type(hints[name])
            inner = bare_type(get_args(kind)[0]) if get_origin(kind) is list else kind
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                for each in body[key] if isinstance(body[key], list) else [body[key]]:
                    for field, spellings in spelled(inner, each).items():
                        found.setdefault(field, set()).update(spellings)
    return found
