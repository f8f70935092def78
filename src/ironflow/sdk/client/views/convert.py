"""A contract's message as its view."""

from typing import TypeVar

import msgspec

from ironflow.sdk.client.views.base import Failure, View
from ironflow.sdk.client.views.functions import Function
from ironflow.sdk.client.views.runs import RunState, StepState
from ironflow.sdk.values.payload import from_payload

V = TypeVar("V", bound=View)


def view(kind: type[V], message: msgspec.Struct) -> V:
    """`message` as its view: payloads decoded, nested messages turned into the views of `kind`."""
    values = {name: getattr(message, name) for name in kind.__struct_fields__}
    for name, value in values.items():
        if isinstance(value, msgspec.Raw):
            values[name] = from_payload(value)
        elif name in _INNER and isinstance(value, msgspec.Struct):
            values[name] = view(_INNER[name], value)
        elif (kind, name) in _INNER_LISTS:
            values[name] = [view(_INNER_LISTS[kind, name], each) for each in getattr(message, name)]
        elif isinstance(value, dict):
            values[name] = {
                key: from_payload(each) if isinstance(each, msgspec.Raw) else each for key, each in value.items()
            }
    return kind(**values)


_INNER: dict[str, type[View]] = {"error": Failure, "function": Function}
_INNER_LISTS: dict[tuple[type[View], str], type[View]] = {(RunState, "steps"): StepState}
