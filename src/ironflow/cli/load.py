"""Finds what a worker is to serve: `app:functions`, `app:greet`, `app`, `app.py`, `shop/app.py:functions`."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from ironflow.cli.exits import UsageError
from ironflow.sdk.definitions import EventDefinition
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.projection import ProjectionDefinition
from ironflow.sdk.upcasting import UpcasterChainError, UpcasterRegistry

Served = FunctionDefinition | ProjectionDefinition


def load_functions(target: str) -> list[FunctionDefinition]:
    """The functions among what `target` names. Raises as load_served."""
    return [each for each in load_served(target) if isinstance(each, FunctionDefinition)]


def load_served(target: str) -> list[Served]:
    """The functions and projections that `target` names: one or a list of them, or all that the module defines.

    The folder of the file, or the working folder for a module, joins the import path, as it does for `python`.
    Errors raised by the module's own code rise unchanged. Raises UsageError for what is not there.
    """
    place, _, name = target.partition(":")
    module = _module(place)
    if not name:
        found = [value for value in vars(module).values() if isinstance(value, Served)]
        if not found:
            raise UsageError(
                f"{place} defines no function and no projection. Decorate one with @ironflow.function(...)."
            )
        return _once(found)
    if not hasattr(module, name):
        raise UsageError(f"{place} has no {name!r}. {_known(module)}")
    value: Any = getattr(module, name)
    listed: list[Any] = [value] if isinstance(value, Served) else list(value) if _iterable(value) else []
    if not listed or not all(isinstance(each, Served) for each in listed):
        raise UsageError(f"{target} is neither a function decorated with @ironflow.function nor a list of them.")
    return _once(listed)


def load_events(target: str) -> list[EventDefinition]:
    """The event definitions that `target` names: those of a module, one of them, or a list of them.

    Errors raised by the module's own code rise unchanged. Raises UsageError for what is not there.
    """
    place, _, name = target.partition(":")
    module = _module(place)
    if name and not hasattr(module, name):
        raise UsageError(f"{place} has no {name!r}.")
    values = [getattr(module, name)] if name else list(vars(module).values())
    found: dict[tuple[str, int], EventDefinition] = {}
    for value in values:
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if not isinstance(each, EventDefinition):
                continue
            if found.setdefault((each.name, each.version), each) is not each:
                raise UsageError(f"version {each.version} of event {each.name!r} is defined twice.")
    if not found:
        raise UsageError(f"{target} defines no event. Write ironflow.define_event(name=..., version=..., type=...).")
    return [found[place] for place in sorted(found)]


def load_upcasters(target: str) -> UpcasterRegistry | None:
    """The upcasters that the module of `target` has, whatever is named in it; None where it has none.

    Errors raised by the module's own code rise unchanged. Raises UsageError for two of them, and for a missing step.
    """
    place = target.partition(":")[0]
    found = {name: value for name, value in vars(_module(place)).items() if isinstance(value, UpcasterRegistry)}
    if not found:
        return None
    registry = next(iter(found.values()))
    if any(each is not registry for each in found.values()):
        raise UsageError(
            f"{place} has several upcaster registries: {', '.join(found)}. A worker takes one: put all steps into it."
        )
    try:
        registry.check()
    except UpcasterChainError as fault:
        raise UsageError(f"{place}:{next(iter(found))} is not complete: {fault.message}") from None
    return registry


def source_folder(target: str) -> Path:
    """The folder whose changes concern `target`: the file's own, or the working folder for a module."""
    place = Path(target.partition(":")[0])
    return place.resolve().parent if place.suffix == ".py" else Path.cwd()


def _module(place: str) -> ModuleType:
    path = Path(place)
    folder = source_folder(place)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    if path.suffix == ".py":
        if not path.is_file():
            raise UsageError(f"there is no file {place!r}.")
        place = path.stem
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as fault:
        # A module that the user's own code misses is the user's error and keeps its traceback.
        if fault.name is not None and (place == fault.name or place.startswith(fault.name + ".")):
            raise UsageError(
                f"there is no module {place!r} here. Write MODULE:FUNCTIONS or a file such as app.py."
            ) from None
        raise


def _once(found: Iterable[Served]) -> list[Served]:
    by_id: dict[tuple[str, str], Served] = {}
    for each in found:
        kind, name = ("function", each.id) if isinstance(each, FunctionDefinition) else ("projection", each.name)
        if by_id.setdefault((kind, name), each) is not each:
            raise UsageError(f"two {kind}s have the id {name!r}. An id names one {kind}.")
    return list(by_id.values())


def _iterable(value: object) -> bool:
    return isinstance(value, (list, tuple, set))


def _known(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, (FunctionDefinition, ProjectionDefinition, list))
    ]
    return f"It has {', '.join(names)}." if names else "It defines no function."
