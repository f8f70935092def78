"""Upcasters: old events reach handlers in the shape that the code of today expects.

    order_v1 = define_event(name="order.placed", version=1)
    order_v2 = define_event(name="order.placed", version=2, upcast=lambda data: {**data, "currency": "EUR"})
    Worker(functions=[...], upcasters=UpcasterRegistry([order_v1, order_v2]))

The log is never rewritten: data is brought up to date each time it is read. Source: behaviour.md 11.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast, overload

import msgspec

from ironflow.base.errors import IronflowError, ValidationError
from ironflow.sdk.values.definitions import EventDefinition, Upcaster, check_upcaster, check_version

Fn = TypeVar("Fn", bound=Upcaster)


class VersionedEvent(Protocol):
    """An event as readers have it, a struct or a dataclass. version: of its data."""

    @property
    def name(self) -> str: ...
    @property
    def data(self) -> Any: ...
    @property
    def version(self) -> int: ...


E = TypeVar("E", bound=VersionedEvent)


class UpcasterChainError(IronflowError):
    """There is no way from the version of the event's data to the latest one."""

    code = "UPCASTER_CHAIN_ERROR"


class UpcasterRegistry:
    """Steps from version to version, by event. `check` refuses chains with a gap; a worker calls it first of all.

    Events without any step pass unchanged, and so does data of the latest version and of versions beyond it.
    """

    def __init__(self, definitions: Iterable[EventDefinition] = ()) -> None:
        """Raises ValidationError, UpcasterChainError."""
        # By event: from version -> (to version, function).
        self._steps: dict[str, dict[int, tuple[int, Upcaster]]] = {}
        self._versions: dict[str, set[int]] = {}
        for each in definitions:
            self.add(each)
        self.check()

    def add(self, definition: EventDefinition) -> None:
        """One version of an event with its upcaster. Raises ValidationError when it is there already."""
        if definition.upcast is not None:
            self.register(definition.name, definition.version - 1, definition.version, definition.upcast)
        self._versions.setdefault(definition.name, set()).add(definition.version)

    @overload
    def register(self, event_name: EventDefinition) -> None: ...
    @overload
    def register(self, event_name: str, from_version: int, to_version: int) -> Callable[[Fn], Fn]: ...
    @overload
    def register(self, event_name: str, from_version: int, to_version: int, fn: Upcaster) -> None: ...

    def register(
        self,
        event_name: str | EventDefinition,
        from_version: int = 0,
        to_version: int = 0,
        fn: Upcaster | None = None,
    ) -> Any:
        """Adds the step `fn` from one version to a later one; without `fn`, a decorator for it.

        Raises ValidationError for versions that make no step, and for a second step from one version.
        """
        if isinstance(event_name, EventDefinition):
            return self.add(event_name)
        if fn is None:

            def decorate(given: Upcaster) -> Upcaster:
                self.register(event_name, from_version, to_version, given)
                return given

            return decorate
        for version in (from_version, to_version):
            check_version(event_name, version)
        if to_version <= from_version:
            raise ValidationError(f"event {event_name!r}: version {to_version} does not come after {from_version}.")
        check_upcaster(event_name, fn)
        steps = self._steps.setdefault(event_name, {})
        if from_version in steps:
            raise ValidationError(f"event {event_name!r} has an upcaster from version {from_version} already.")
        steps[from_version] = (to_version, fn)
        self._versions.setdefault(event_name, set()).update((from_version, to_version))
        return None

    def get_latest_version(self, event_name: str) -> int | None:
        """The greatest version known of the event, None for an unknown event."""
        return max(self._versions.get(event_name, ()), default=None)

    latest_version = get_latest_version

    def upcast(self, event_name: str, data: Any, from_version: int, to_version: int | None = None) -> Any:
        """`data` brought from one version to another, None for the latest. Raises UpcasterChainError.

        `data` may be changed on the way. An event without upcasters, or data that is not older, is given back.
        """
        goal = self.get_latest_version(event_name) if to_version is None else to_version
        if goal is None or from_version >= goal or event_name not in self._versions:
            return data
        for _, step in self._path(event_name, from_version, goal):
            data = step(data)
        return data

    def upcast_to_latest(self, event_name: str, data: Any, from_version: int) -> Any:
        """As `upcast` to the latest version."""
        return self.upcast(event_name, data, from_version)

    upcast_event = upcast_to_latest

    def is_outdated(self, event_name: str, version: int) -> bool:
        """Whether an event of that version would be changed."""
        return version < (self.get_latest_version(event_name) or 0)

    def apply(self, event: E) -> E:
        """The event with its data and version brought to the latest; the same event where there is nothing to do.

        For readers that pass events to user code: handlers, waits, projections, readers of streams.
        Raises UpcasterChainError.
        """
        latest = self.get_latest_version(event.name)
        if latest is None or event.version >= latest:
            return event
        data = self.upcast(event.name, event.data, event.version)
        if isinstance(event, msgspec.Struct):
            return msgspec.structs.replace(event, data=data, version=latest)
        return replace(cast(Any, event), data=data, version=latest)

    def check(self) -> None:
        """Raises UpcasterChainError when some known version of an event has no way to its latest one."""
        for event_name, versions in self._versions.items():
            latest = max(versions)
            for version in sorted(versions):
                self._path(event_name, version, latest)

    def _path(self, event_name: str, from_version: int, goal: int) -> list[tuple[int, Upcaster]]:
        steps = self._steps.get(event_name, {})
        path: list[tuple[int, Upcaster]] = []
        at = from_version
        while at < goal:
            if at not in steps or steps[at][0] > goal:
                raise UpcasterChainError(
                    f"event {event_name!r} cannot be brought from version {from_version} to {goal}: there is no "
                    f"upcaster from version {at}. Register one from {at} to {at + 1}."
                )
            path.append(steps[at])
            at = steps[at][0]
        return path

    def __repr__(self) -> str:
        return f"<UpcasterRegistry of {', '.join(sorted(self._versions)) or 'nothing'}>"


class EventDefinitionRegistry(UpcasterRegistry):
    """The same, by the name that programs know which register definitions."""


NO_UPCASTERS = UpcasterRegistry()
