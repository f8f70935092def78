"""The arguments of requests, checked; pure. Every function raises Refused, naming the argument."""

from typing import Any, cast

from ironflow.debugging.dap.protocol import Refused


def text(arguments: dict[str, Any], name: str, default: str | None = None) -> str:
    value = arguments.get(name, default)
    if not isinstance(value, str):
        raise Refused(f"the argument {name!r} is {_shown(value)}; a text is expected.")
    return value


def number(arguments: dict[str, Any], name: str, default: int | None = None) -> int:
    value = arguments.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
        raise Refused(f"the argument {name!r} is {_shown(value)}; a whole number is expected.")
    return value


def flag(arguments: dict[str, Any], name: str, default: bool = False) -> bool:
    value = arguments.get(name, default)
    if not isinstance(value, bool):
        raise Refused(f"the argument {name!r} is {_shown(value)}; true or false is expected.")
    return value


def mapping(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    """An object; empty when it is absent."""
    value = arguments.get(name) or {}
    if not isinstance(value, dict):
        raise Refused(f"the argument {name!r} is {_shown(value)}; an object is expected.")
    return cast("dict[str, Any]", value)


def mappings(arguments: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects; empty when it is absent."""
    value = arguments.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in cast("list[Any]", value)):
        raise Refused(f"the argument {name!r} is {_shown(value)}; a list of objects is expected.")
    return cast("list[dict[str, Any]]", value)


def texts(arguments: dict[str, Any], name: str) -> list[str]:
    value = arguments.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in cast("list[Any]", value)):
        raise Refused(f"the argument {name!r} is {_shown(value)}; a list of texts is expected.")
    return cast("list[str]", value)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:59] + "…"
