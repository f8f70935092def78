"""Registrations of functions whose handlers are elsewhere, such as behind an endpoint."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ironflow.base.fields import fields_of
from ironflow.base.json import InvalidJson
from ironflow.base.spelling import BadField, camel, reader
from ironflow.features.functions.contract import InvalidFunction, RegisterFunction
from ironflow.sdk.definition.function import function

# Names of the documents' configuration that the wire has under others.
_RENAMED = {"timeout": "timeout_ms", "mode": "preferred_mode", "preferredMode": "preferred_mode"}
# What concerns the handler, and so the program that has it.
_OF_HANDLERS = ("handler", "schema", "stepTimeout", "step_timeout")


def registration(id: str, **settings: Any) -> RegisterFunction:
    """The message that registers a function without a handler. settings: of `function`. Raises InvalidFunction."""
    # That it runs compensations by themselves is for the program to say that has the handler.
    return function(id, **{"compensation_timeout": None, **settings})(_elsewhere).settings


def registration_in(config: Mapping[str, Any]) -> RegisterFunction:
    """The same from a configuration as the documents of the JavaScript SDK write it; numbers are milliseconds.

        {"id": "settle", "triggers": [{"event": "order.placed"}], "endpointUrl": "https://…", "preferredMode": "push"}

    Raises InvalidFunction, also for a name that is none of its settings.
    """
    known = {spelled for name in fields_of(RegisterFunction) for spelled in (name, camel(name))}
    fields: dict[str, Any] = {}
    for name, value in config.items():
        if name in _OF_HANDLERS:
            raise InvalidFunction(f"function {config.get('id')!r}: {name} belongs to the handler. Leave it out here.")
        spelled = _RENAMED.get(name, name)
        if spelled not in known:
            raise InvalidFunction(f"function {config.get('id')!r}: {name!r} is none of its settings.")
        if value is not None:
            fields[spelled] = value
    try:
        return reader(RegisterFunction).read(msgspec.json.encode(fields))
    except (BadField, InvalidJson, TypeError) as fault:
        raise InvalidFunction(f"function {config.get('id')!r}: {fault}") from fault


async def _elsewhere(ctx: Any) -> None:
    """Stands for a handler that another program has; it is never called."""
