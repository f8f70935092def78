"""What a user's handler looks like: how many parameters, which type of data, which source."""

import hashlib
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from ironflow.features.functions.contract import InvalidFunction

Handler = Callable[..., Any]

UNTYPED: Any = inspect.Parameter.empty
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_HASH_LENGTH = 16


def data_parameter(handler: Handler, function_id: str) -> inspect.Parameter | None:
    """The second parameter, which receives the event's data; None when there is only the context.

    Raises InvalidFunction for a handler that cannot be called with these.
    """
    parameters = list(inspect.signature(handler).parameters.values())
    given, others = parameters[:2], parameters[2:]
    if (
        not given
        or any(each.kind not in _POSITIONAL for each in given)
        or any(each.default is each.empty and each.kind in (*_POSITIONAL, each.KEYWORD_ONLY) for each in others)
    ):
        raise InvalidFunction(
            f"function {function_id!r}: its handler takes {inspect.signature(handler)}; write (ctx) or (ctx, data)."
        )
    return given[1] if len(given) == 2 else None


def resolved(annotation: Any, near: Callable[..., Any]) -> Any:
    """The type that an annotation stands for; texts are looked up where the function `near` was written.

    Raises NameError for a name that is not there.
    """
    if annotation is UNTYPED or not isinstance(annotation, str):
        return annotation
    function = inspect.unwrap(near)
    closure = getattr(function, "__closure__", None) or ()
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    # Names of an enclosing function: those that the handler itself uses can be found in its closure.
    local: dict[str, Any] = {
        name: cell.cell_contents for name, cell in zip(names, closure, strict=False) if _is_set(cell)
    }
    holder: Any = types.SimpleNamespace(__annotations__={"it": annotation})
    hints: dict[str, Any] = typing.get_type_hints(
        holder, getattr(function, "__globals__", {}), local, include_extras=True
    )
    return hints["it"]


def _is_set(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def defined_at(handler: Handler) -> str:
    """Where the handler is written, such as `/app/orders.py:12`; its name where that is not known."""
    code = getattr(inspect.unwrap(handler), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(handler)


def code_hash(handler: Handler) -> str:
    """16 hex digits that change with the handler's source. Source: protocol/worker-rest.md 3."""
    try:
        source = inspect.getsource(handler).encode()
    except (OSError, TypeError):
        # No file to read, as in an interactive session.
        code = getattr(inspect.unwrap(handler), "__code__", None)
        source = code.co_code + repr(code.co_consts).encode() if code else repr(handler).encode()
    return hashlib.sha256(source).hexdigest()[:_HASH_LENGTH]
