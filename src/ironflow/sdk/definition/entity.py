"""`entity(name, key=...)`: handlers that share a state for each key, and change it one at a time."""

import re
from dataclasses import replace
from typing import Any, overload

import msgspec

from ironflow.base.entity_streams import NAME
from ironflow.features.functions.contract import EntityConfig
from ironflow.sdk.definition.controls import check
from ironflow.sdk.definition.function import Define, FunctionDefinition, StateShape, function
from ironflow.sdk.definition.triggers import Names
from ironflow.sdk.user_code.signature import Handler
from ironflow.sdk.values.payload import from_payload, reader_of, to_payload

_PATH = re.compile(r"\S+")


class EntityDefinition:
    """An entity of a user's program. Make it with `entity(...)`; `functions` are what a worker is given."""

    def __init__(self, name: str, key: str, shape: StateShape) -> None:
        self.name = name
        self.key = key
        self.functions: list[FunctionDefinition] = []
        self._shape = shape

    def on(self, events: Names, /, *, id: str = "", **settings: Any) -> Define:
        """A handler that these events start, and that `client.entities.call` calls by the name of its function.

        Of one key, one handler runs at a time, over its waits, in the order of arrival; `ctx.state` is what it changes.
        id: of the function, else `name.function`. settings: as of `@function`, but for limits and priority.
        """
        return self._define(id, "", {**settings, "on": events})

    @overload
    def handler(self, handler: Handler, /) -> FunctionDefinition: ...
    @overload
    def handler(self, /, *, id: str = "", **settings: Any) -> Define: ...
    def handler(self, handler: Handler | None = None, /, *, id: str = "", **settings: Any) -> Any:
        """As `on`, without an event: it is called only."""
        define = self._define(id, "", settings)
        return define if handler is None else define(handler)

    @overload
    def read(self, handler: Handler, /) -> FunctionDefinition: ...
    @overload
    def read(self, /, *, id: str = "", **settings: Any) -> Define: ...
    def read(self, handler: Handler | None = None, /, *, id: str = "", **settings: Any) -> Any:
        """A handler that runs beside the others and may not change `ctx.state`, which is the newest recorded one."""
        define = self._define(id, "read", settings)
        return define if handler is None else define(handler)

    def _define(self, id: str, access: str, settings: dict[str, Any]) -> Define:
        taken = {"concurrency", "actor_key", "priority"} & settings.keys()
        check(not taken, f"entity {self.name!r}: its handlers have no {', '.join(sorted(taken))}=; a key is a limit.")

        def define(handler: Handler) -> FunctionDefinition:
            named = id or f"{self.name}.{getattr(handler, '__name__', 'handler')}"
            definition = function(named, **settings)(handler)
            entity = EntityConfig(name=self.name, key=self.key, access=access)
            whole = msgspec.structs.replace(definition.settings, entity=entity)
            definition = replace(definition, settings=whole, state=self._shape)
            self.functions.append(definition)
            return definition

        return define

    def __repr__(self) -> str:
        return f"<entity {self.name} by {self.key}>"


def entity(name: str, *, key: str, state: Any = None, initial: Any = None) -> EntityDefinition:
    """An entity: for each key a state that its handlers change one at a time.

        payment = entity("payment", key="id", initial={"status": "new"})

        @payment.on("payment.make")
        async def make(ctx, data):
            ctx.state["status"] = "authorized"

    key: the path of the key in the data of events. state: the type of `ctx.state`; plain values without one.
    initial: the state before a handler has set one: a value, or a function without arguments that makes it.
    Raises InvalidFunction.
    """
    check(
        isinstance(name, str) and NAME.fullmatch(name) is not None,
        f"entity {name!r}: a name is 1 to 64 of A-Za-z0-9_.-",
    )
    check(
        isinstance(key, str) and _PATH.fullmatch(key) is not None, f"entity {name!r}: key is a path, such as orderId."
    )
    payload = None if callable(initial) else to_payload(initial, f"the initial state of entity {name!r}")
    read = from_payload if state is None else reader_of(state)

    def begin() -> Any:
        return initial() if payload is None else (initial if state is not None and initial is None else read(payload))

    return EntityDefinition(name, key, StateShape(read, begin))
