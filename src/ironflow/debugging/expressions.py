"""Paths and CEL expressions over the state of a run; pure. Variables: those of `changes.document`, and `step`."""

import re
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, cast

from ironflow.base.cel import EXPRESSION_CHARS_MAX, InvalidExpression
from ironflow.base.errors import InvalidArgument

VARIABLES = ("run", "event", "steps", "outputs", "error", "step")
_TOKEN = re.compile(r"\.?([A-Za-z_][\w-]*)|\[(\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\]|\['((?:[^'\\]|\\.)*)'\]")
_MISSING: Any = object()


class NoValue(InvalidArgument):
    """The expression has no value here."""

    code = "NO_VALUE"


def evaluate(source: str, values: dict[str, Any]) -> Any:
    """The value of a path (`outputs.reserve.table`, `steps["look up"].output[0]`) or of a CEL expression.

    values: of `document`; variables that are missing are null. Raises InvalidExpression, NoValue.
    """
    found = _at_path(source.strip(), values)
    if found is not _MISSING:
        return found
    compiled = _compiled(source)
    try:
        result = compiled.eval(data={name: _within_int64(values.get(name)) for name in VARIABLES})
    except RuntimeError as fault:
        # Its budget of iterations is spent, or a value cannot be represented.
        raise NoValue(f"{source!r} cannot be evaluated: {' '.join(str(fault).split())}.") from None
    if result.type().name() == "ERROR":
        raise NoValue(f"{source!r} has no value here: {str(result.value()).partition(': ')[2] or result.value()}.")
    return _plain(result.plain_value())


def holds(condition: str, values: dict[str, Any]) -> bool:
    """Whether a condition is true; a value that is missing is not. Raises InvalidExpression."""
    try:
        return evaluate(condition, values) is True
    except NoValue:
        return False


def check_expression(source: str) -> None:
    """Raises InvalidExpression."""
    _compiled(source)


def rendered(message: str, values: dict[str, Any], write: Any) -> str:
    """A log message with its `{expressions}` replaced; one without a value stays as it is written."""

    def value(match: re.Match[str]) -> str:
        try:
            return write(evaluate(match[1], values))
        except (InvalidExpression, NoValue):
            return match[0]

    return re.sub(r"\{([^{}]+)\}", value, message)


def _at_path(source: str, values: dict[str, Any]) -> Any:
    """The value at a path; _MISSING for what is no path, or has no value."""
    found: Any = values
    place = 0
    while place < len(source):
        match = _TOKEN.match(source, place)
        if match is None or (place == 0 and match[1] not in VARIABLES):
            return _MISSING
        name = match[1] or match[3] or match[4]
        if isinstance(found, dict) and name is not None:
            found = cast("dict[str, Any]", found).get(name, _MISSING)
        elif isinstance(found, list) and match[2] and len(match[2]) < 10:
            items = cast("list[Any]", found)
            found = items[int(match[2])] if int(match[2]) < len(items) else _MISSING
        else:
            return _MISSING
        if found is _MISSING:
            return _MISSING
        place = match.end()
    return found if source else _MISSING


@cache
def _environment() -> Any:
    from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs]

    return cel.NewEnv(variables=dict.fromkeys(VARIABLES, cel.Type.DYN))


@lru_cache(maxsize=256)
def _compiled(source: str) -> Any:
    if len(source) > EXPRESSION_CHARS_MAX:
        raise InvalidExpression(f"The expression has {len(source)} characters; {EXPRESSION_CHARS_MAX} is the limit.")
    try:
        return _environment().compile(source)
    except RuntimeError as fault:
        reason = " ".join(str(fault).removeprefix("INVALID_ARGUMENT: ").split())
        raise InvalidExpression(f"{source!r} is neither a path nor a CEL expression: {reason}") from None


def _within_int64(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _within_int64(each) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_within_int64(each) for each in cast("list[Any]", value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        # CEL has no larger integers; a float compares as exactly as a double does.
        return float(value) if abs(value) < 2**1023 else None
    return value


def _plain(value: Any) -> Any:
    """A value of CEL as a JSON value."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="replace")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
