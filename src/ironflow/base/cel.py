"""CEL expressions over an event: `data.total > 100 && data.currency in ["EUR", "USD"]`.

Compiled once and kept. Users' expressions are hostile input: evaluation has an iteration budget, and an error while
evaluating (a missing field, a wrong type) means "does not match", as for a filter.
Source: behaviour.md 7; DESIGN.md 2 on the library.
"""

import math
from functools import cache, lru_cache
from typing import Any, cast

from ironflow.base.errors import InvalidArgument

EXPRESSION_CHARS_MAX = 4096
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_VARIABLES = ("data", "event", "metadata")
# CEL keeps the word `namespace` for itself; `event.namespace` can be said. Filters of topics give topic and timestamp.
_TEXTS = ("name", "id", "source", "eventNamespace", "topic", "timestamp")


class InvalidExpression(InvalidArgument):
    """The text is not a CEL expression over data, event, name, id, source, eventNamespace and metadata."""

    code = "INVALID_EXPRESSION"


class Expression:
    """A compiled expression. `matches` never raises."""

    def __init__(self, source: str, compiled: Any) -> None:
        self.source = source
        self._compiled = compiled

    def matches(self, data: Any, **about: Any) -> bool:
        """Whether the expression is true for an event.

        data: the event's data, decoded. about: metadata (an object), and the texts name, id, source, namespace, topic
        and timestamp.
        """
        values: dict[str, Any] = {
            **dict.fromkeys(_TEXTS, ""),
            **about,
            "data": data,
            "event": {"data": data, **about},
            "metadata": about.get("metadata") or {},
            "eventNamespace": about.get("namespace", ""),
        }
        try:
            return self._evaluate(values)
        except RuntimeError:
            # The budget is spent, or a value cannot be represented: no match.
            return False

    def _evaluate(self, values: dict[str, Any]) -> bool:
        result = self._compiled.eval(data=values)
        if result.type().name() == "ERROR" and "out of range" in str(result.value()):
            for name in _VARIABLES:
                values[name] = _within_int64(values[name])
            result = self._compiled.eval(data=values)
        # Only a true boolean matches; an error is a value of its own type.
        return result.type().name() == "BOOL" and bool(result.value())


def _within_int64(value: Any) -> Any:
    """Integers that CEL cannot hold as doubles; comparing with them is then as exact as a double."""
    if isinstance(value, dict):
        return {key: _within_int64(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_within_int64(each) for each in cast("list[Any]", value)]
    if isinstance(value, int) and not _INT64_MIN <= value <= _INT64_MAX:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return value


@cache
def _environment() -> Any:
    # Imported late: it is a large library and most programs that import ironflow never need it.
    from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs]

    variables = {**dict.fromkeys(_TEXTS, cel.Type.STRING), **dict.fromkeys(_VARIABLES, cel.Type.DYN)}
    return cel.NewEnv(variables=variables)


@lru_cache(maxsize=4096)
def expression(source: str) -> Expression:
    """Compiles `source`. Raises InvalidExpression with the place of the fault."""
    if len(source) > EXPRESSION_CHARS_MAX:
        raise InvalidExpression(f"The expression has {len(source)} characters; {EXPRESSION_CHARS_MAX} is the limit.")
    try:
        return Expression(source, _environment().compile(source))
    except RuntimeError as fault:
        reason = " ".join(str(fault).removeprefix("INVALID_ARGUMENT: ").split())
        raise InvalidExpression(f"{source!r} is not a CEL expression: {reason}") from None
