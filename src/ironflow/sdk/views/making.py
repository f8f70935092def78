"""A contract's message as its view."""

from typing import TypeVar

import msgspec

from ironflow.sdk.payload import from_payload
from ironflow.sdk.views.base import Failure, View
from ironflow.sdk.views.functions import Function
from ironflow.sdk.views.runs import RunState, StepState

V = TypeVar("V", bound=View)


def view(kind: type[V], message: msgspec.Struct) -> V:
    """`message` as its view: payloads decoded, messages within turned into the views that `kind` says."""
    values = {name: getattr(message, name) for name in kind.__struct_fields__}
    for name, value in values.items():
        if isinstance(value, msgspec.Raw):
            values[name] = from_payload(value)
        elif name in _INNER and value is not None:
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
