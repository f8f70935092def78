"""Event definitions: name and version of an event, the type of its data, and how it follows from the version before."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, overload

from ironflow.base.errors import ValidationError
from ironflow.sdk.values.declared import Data, Data_co
from ironflow.sdk.values.json_schema import schema_of

# Data of one version in, data of the next out. What it is given is its own to change.
Upcaster = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class EventDefinition(Generic[Data_co]):
    """One version of an event, whose data is a Data_co. upcast: makes data of the version before into this one's.

    type: what the data is in Python. schema: JSON Schema of the data, used instead of that of `type`.
    """

    name: str
    version: int = 1
    upcast: Upcaster | None = None
    type: Any = None
    schema: Mapping[str, Any] | None = None
    description: str = ""

    def json_schema(self) -> dict[str, Any] | None:
        """The schema of the data; None when neither schema nor type was given. Raises ValidationError."""
        if self.schema is not None:
            return dict(self.schema)
        return None if self.type is None else schema_of(self.type)


@overload
def define_event(
    name: str,
    version: int = 1,
    upcast: Upcaster | None = None,
    *,
    type: type[Data],
    schema: Mapping[str, Any] | None = None,
    description: str = "",
) -> EventDefinition[Data]: ...


@overload
def define_event(
    name: str,
    version: int = 1,
    upcast: Upcaster | None = None,
    *,
    type: Any = None,
    schema: Mapping[str, Any] | None = None,
    description: str = "",
) -> EventDefinition[Any]: ...


def define_event(
    name: str,
    version: int = 1,
    upcast: Upcaster | None = None,
    *,
    type: Any = None,
    schema: Mapping[str, Any] | None = None,
    description: str = "",
) -> EventDefinition[Any]:
    """Defines one version of an event.

    upcast: a function from data of version - 1 to data of this one.
    type: a struct, dataclass, TypedDict or pydantic model; `ironflow schema push` registers its JSON Schema.
    Raises ValidationError.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValidationError(f"an event is called {name!r}; write its name.")
    check_version(name, version)
    if upcast is not None:
        check_upcaster(name, upcast)
        if version == 1:
            raise ValidationError(f"event {name!r}: version 1 has no version before it to upcast from.")
    if schema is not None and not isinstance(schema, Mapping):
        raise ValidationError(f"event {name!r}: schema is a JSON Schema as a mapping; a Python type goes into type=.")
    return EventDefinition(name, version, upcast, type, schema, description)


def named(event: str | EventDefinition, version: int | None) -> tuple[str, int]:
    """Name and version to emit: a definition has its own version, unless another is given."""
    if isinstance(event, EventDefinition):
        return event.name, event.version if version is None else version
    return event, 1 if version is None else version


def check_version(name: str, version: int) -> None:
    """Raises ValidationError."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValidationError(f"event {name!r} has version {version!r}; versions are whole numbers from 1.")


def check_upcaster(name: str, fn: Any) -> None:
    """Raises ValidationError for what is no function, and for one that would have to be awaited."""
    if not callable(fn) or inspect.iscoroutinefunction(fn):
        raise ValidationError(f"event {name!r}: an upcaster is a plain function from data to data, not {fn!r}.")
