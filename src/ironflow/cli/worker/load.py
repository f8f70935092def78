"""Loads the functions that a target names: `app:functions`, `app:greet`, `app`, `app.py`, `shop/app.py:functions`."""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ironflow.cli.exits import UsageError
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.definitions import EventDefinition
from ironflow.sdk.values.upcasting import UpcasterChainError, UpcasterRegistry

Served = FunctionDefinition | ProjectionDefinition


def load_functions(target: str) -> list[FunctionDefinition]:
    """The functions that `target` names, without its projections. Raises as load_served."""
    return [each for each in load_served(target) if isinstance(each, FunctionDefinition)]


def load_served(target: str) -> list[Served]:
    """The functions and projections that `target` names: one or a list of them, or all that the module defines.

    The folder of the file, or the working folder for a module, is added to the import path, as `python` does.
    Errors of the module's own code pass unchanged. Raises UsageError for a missing file, module or name.
    """
    module_name, _, name = target.partition(":")
    module = _module(module_name)
    if not name:
        found = [each for value in vars(module).values() for each in _served_in(value)]
        if not found:
            raise UsageError(
                f"{module_name} defines no function and no projection. Decorate one with @ironflow.function(...)."
            )
        return _once(found)
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, _names(module), 1)
        raise UsageError(f"{module_name} has no {name!r}. " + (f"Is it {near[0]!r}?" if near else _known(module)))
    value: Any = getattr(module, name)
    listed: list[Any] = [value] if isinstance(value, Served) else list(value) if _iterable(value) else []
    if not listed or not all(isinstance(each, Served) for each in listed):
        raise UsageError(f"{target} is neither a function decorated with @ironflow.function nor a list of them.")
    return _once(listed)


def load_events(target: str) -> list[EventDefinition]:
    """The event definitions that `target` names: those of a module, one of them, or a list of them.

    Errors of the module's own code pass unchanged. Raises UsageError for a missing file, module or name.
    """
    module_name, _, name = target.partition(":")
    module = _module(module_name)
    if name and not hasattr(module, name):
        raise UsageError(f"{module_name} has no {name!r}.")
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
    return [found[key] for key in sorted(found)]


def load_upcasters(target: str) -> UpcasterRegistry | None:
    """The upcaster registry of the module of `target`; None without one.

    Errors of the module's own code pass unchanged. Raises UsageError for two registries, and for a missing step.
    """
    module_name = target.partition(":")[0]
    found = {name: value for name, value in vars(_module(module_name)).items() if isinstance(value, UpcasterRegistry)}
    if not found:
        return None
    registry = next(iter(found.values()))
    if any(each is not registry for each in found.values()):
        raise UsageError(
            f"{module_name} has several upcaster registries: {', '.join(found)}. A worker takes one; "
            "put all steps into it."
        )
    try:
        registry.check()
    except UpcasterChainError as fault:
        raise UsageError(f"{module_name}:{next(iter(found))} is not complete: {fault.message}") from None
    return registry


def load_codec(target: str) -> Codec:
    """The codec that `module:name` names. Raises UsageError."""
    module_name, _, name = target.rpartition(":")
    if not module_name or not name:
        raise UsageError(f"--codec {target!r} is not MODULE:NAME.")
    codec = getattr(_module(module_name, wanted="--codec MODULE:NAME"), name, None)
    if not isinstance(codec, Codec):
        raise UsageError(f"{name!r} of module {module_name!r} is no Codec.")
    return codec


def source_folder(target: str) -> Path:
    """The folder to watch for `target`: that of the file, or the working folder for a module."""
    path = Path(target.partition(":")[0])
    return path.resolve().parent if path.suffix == ".py" else Path.cwd()


def _module(module_name: str, wanted: str = "MODULE:FUNCTIONS or a file such as app.py") -> ModuleType:
    path = Path(module_name)
    folder = source_folder(module_name)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    if path.suffix == ".py":
        if not path.is_file():
            raise UsageError(f"file {module_name!r} does not exist.")
        module_name = path.stem
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as fault:
        # An import that fails inside the user's code keeps its traceback.
        if fault.name is not None and (module_name == fault.name or module_name.startswith(fault.name + ".")):
            raise UsageError(f"module {module_name!r} does not exist here. Write {wanted}.") from None
        raise


def _once(found: Iterable[Served]) -> list[Served]:
    by_id: dict[tuple[str, str], Served] = {}
    for each in found:
        kind, name = ("function", each.id) if isinstance(each, FunctionDefinition) else ("projection", each.name)
        if by_id.setdefault((kind, name), each) is not each:
            raise UsageError(f"two {kind}s have the id {name!r}. The id of a {kind} must be unique.")
    return list(by_id.values())


def _iterable(value: object) -> bool:
    return isinstance(value, (list, tuple, set))


def _served_in(value: object) -> list[Served]:
    """A function or projection, or those of a list that has nothing else."""
    if isinstance(value, Served):
        return [value]
    items = list(cast(Iterable[object], value)) if _iterable(value) else []
    served = [each for each in items if isinstance(each, Served)]
    return served if len(served) == len(items) else []


def _names(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if _served_in(value)]


def _known(module: ModuleType) -> str:
    names = _names(module)
    return f"It has {', '.join(names)}." if names else "It defines no function."
