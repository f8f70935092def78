"""What a projection is: the events it is made of and the handler that folds them.

    @projection("order-totals", events=["order.placed", "order.cancelled"], initial_state=lambda: {"count": 0})
    def order_totals(state, event):
        return {"count": state["count"] + (1 if event.name == "order.placed" else -1)}

Managed, with an initial state: the handler is a pure reducer and the server keeps the state. External, without one: the
handler has side effects and the server keeps only the cursor.
"""

import copy
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from ironflow.base.errors import InvalidArgument
from ironflow.base.pattern import InvalidPattern
from ironflow.features.projections.contract import InvalidProjection, Register
from ironflow.sdk.user_code.logs import logger_now
from ironflow.sdk.values.event_names import check_matchable

Handler = Callable[..., Any]
Mode = Literal["managed", "external"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class ProjectionEvent:
    """One event as handlers see it. seq: its position in the log; partition: `__global__` where there are none.

    version: of its data, after upcasting. entity_...: of an event of an entity's stream only.
    """

    id: str
    name: str
    data: Any
    seq: int
    timestamp: datetime
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    partition: str = "__global__"
    version: int = 1
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None

    def __getitem__(self, name: str) -> Any:
        """The same by name: `event["data"]`."""
        if name not in self.__slots__:
            raise KeyError(name)
        return getattr(self, name)


@dataclass(frozen=True, slots=True)
class ProjectionFacts:
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class ProjectionContext:
    """What a handler gets as its last parameter, if it has one for it."""

    event: ProjectionEvent
    projection: ProjectionFacts
    logger: logging.Logger


@dataclass(frozen=True, eq=False)
class ProjectionDefinition:
    """A projection of a user's program. Calling it calls its handler, as tests do.

    initial_state: None for an external one. batch_size: events folded between two saves. max_retries: how often an
    event is tried again before the runner reports it; it goes on trying.
    """

    name: str
    events: tuple[str, ...]
    handler: Handler
    initial_state: Callable[[], Any] | None = None
    partition_key: str = ""
    batch_size: int = 100
    max_retries: int = 3
    version: int = 1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.handler(*args, **kwargs)

    @property
    def mode(self) -> Mode:
        return "external" if self.initial_state is None else "managed"

    @cached_property
    def takes_context(self) -> bool:
        """Whether the handler has a parameter for the context, after the event."""
        return _parameters(self) == (2 if self.initial_state is None else 3)

    def arguments(self, state: Any, event: ProjectionEvent) -> tuple[Any, ...]:
        """What the handler is called with. state: of managed projections."""
        given: tuple[Any, ...] = (event,) if self.initial_state is None else (state, event)
        if not self.takes_context:
            return given
        logger = logger_now(f"ironflow.projection.{self.name}")
        return (*given, ProjectionContext(event, ProjectionFacts(self.name, self.version), logger))

    def registration(self) -> Register:
        """The message that registers it."""
        return Register(
            name=self.name,
            events=list(self.events),
            partition_key=self.partition_key,
            version=self.version,
            mode=self.mode,
        )


def create_projection(
    *,
    name: str,
    events: Sequence[str],
    handler: Handler,
    initial_state: Any = None,
    partition_key: str | None = None,
    batch_size: int = 100,
    max_retries: int = 3,
    version: int = 1,
    mode: Mode | None = None,
) -> ProjectionDefinition:
    """A projection.

    events: names and patterns such as `order.*`. handler: `(state, event)` or `(state, event, ctx)` answering the new
    state where there is an initial one, else `(event)` or `(event, ctx)`; async or not. initial_state: a function that
    makes it, or the value itself. partition_key: a path such as `data.customerId`: each value has a state of its own.
    mode: checked against the other arguments. Raises InvalidProjection.
    """
    definition = ProjectionDefinition(
        name=name,
        events=(events,) if isinstance(events, str) else tuple(events),
        handler=handler,
        initial_state=_factory(initial_state),
        partition_key=partition_key or "",
        batch_size=batch_size,
        max_retries=max_retries,
        version=version,
    )
    _check(definition, mode)
    return definition


def projection(
    name: str,
    *,
    events: Sequence[str],
    initial_state: Any = None,
    partition_key: str | None = None,
    batch_size: int = 100,
    max_retries: int = 3,
    version: int = 1,
) -> Callable[[Handler], ProjectionDefinition]:
    """As create_projection, above the handler."""

    def define(handler: Handler) -> ProjectionDefinition:
        return create_projection(
            name=name,
            events=events,
            handler=handler,
            initial_state=initial_state,
            partition_key=partition_key,
            batch_size=batch_size,
            max_retries=max_retries,
            version=version,
        )

    return define


def _factory(initial: Any) -> Callable[[], Any] | None:
    if initial is None or callable(initial):
        return initial
    # A fresh copy each time, so that no handler changes what others begin with.
    return lambda: copy.deepcopy(initial)


def _check(definition: ProjectionDefinition, mode: Mode | None) -> None:
    name = definition.name
    if not definition.events:
        raise InvalidProjection(f"projection {name!r} names no events.")
    for event in definition.events:
        try:
            check_matchable(event)
        except InvalidPattern:
            raise
        except InvalidArgument as fault:
            raise InvalidProjection(f"projection {name!r}: {fault}") from fault
    if mode is not None and mode != definition.mode:
        needs = "needs an initial_state" if mode == "managed" else "has no initial_state"
        raise InvalidProjection(f"projection {name!r} is to be {mode}, which {needs}.")
    if definition.partition_key and definition.mode == "external":
        raise InvalidProjection(f"projection {name!r} keeps no state, so it has no partitions.")
    if not 1 <= definition.batch_size <= 1000:
        raise InvalidProjection(f"projection {name!r} has a batch_size of {definition.batch_size}; it is 1 to 1000.")

    if definition.max_retries < 0:
        raise InvalidProjection(f"projection {name!r} has max_retries of {definition.max_retries}; 0 is the least.")
    wanted = (1, 2) if definition.mode == "external" else (2, 3)
    if _parameters(definition) not in wanted:
        shape = "(event) or (event, ctx)" if wanted[0] == 1 else "(state, event) or (state, event, ctx)"
        signature = inspect.signature(definition.handler)
        raise InvalidProjection(f"projection {name!r}: its handler takes {signature}; write {shape}.")


def _parameters(definition: ProjectionDefinition) -> int:
    """How many positional parameters the handler takes of those that it can be given."""
    most = 2 if definition.initial_state is None else 3
    parameters = inspect.signature(definition.handler).parameters.values()
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return most
    taken = [each for each in parameters if each.kind in _POSITIONAL]
    needed = [each for each in taken if each.default is each.empty]
    if any(each.kind is each.KEYWORD_ONLY and each.default is each.empty for each in parameters):
        return 0
    return len(needed) if len(needed) >= most - 1 else min(len(taken), most)
