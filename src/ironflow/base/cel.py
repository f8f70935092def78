"""CEL expressions over an event: `data.total > 100 && data.currency in ["EUR", "USD"]`.

Compiled once and kept. Users' expressions are hostile input: evaluation has an iteration budget, and an error while
evaluating (a missing field, a wrong type) means "does not match", as for a filter. What may be dear is evaluated in
another process with a deadline, where a server provides one (server/expressions.py); an expression that
misses it matches nothing for a while.
Source: behaviour.md 7; DESIGN.md 2 on the library.
"""

import logging
import math
import re
import time
from functools import cache, lru_cache
from typing import Any, Literal, Protocol, cast

import msgspec

from ironflow.base.errors import InvalidArgument

logger = logging.getLogger(__name__)

EXPRESSION_CHARS_MAX = 4096
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_VARIABLES = ("data", "event", "metadata")
# `namespace` is reserved in CEL, `event.namespace` is not. Filters of topics add topic and timestamp.
_TEXTS = ("name", "id", "source", "eventNamespace", "topic", "timestamp")

# How long an expression that took too long matches nothing.
GIVEN_UP_S = 60.0
# Up to this size, a moderate expression is evaluated here.
_MODERATE_BYTES_MAX = 16 * 1024

Cost = Literal["cheap", "moderate", "dear"]

_MATCHES = re.compile(r"\bmatches\s*\(")
_LITERAL_MATCHES = re.compile(r"""\bmatches\s*\(\s*r?(?:'[^'\\{]*(?:\\.[^'\\{]*)*'|"[^"\\{]*(?:\\.[^"\\{]*)*")\s*\)""")
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_DATA = re.compile(r"\b(?:event\s*\.\s*)?data\b(?:\s*\.\s*([A-Za-z_]\w*))?")


def cost_of(source: str) -> Cost:
    """How dear an expression may be, judged by its text: counted repetitions in patterns and nested macros are.

    cheap: fields and comparisons. moderate: plain patterns, one macro; their work grows with the data and not faster.
    """
    matches, macros = len(_MATCHES.findall(source)), len(_MACRO.findall(source))
    if matches + macros == 0:
        return "cheap"
    if macros > 1 or matches > len(_LITERAL_MATCHES.findall(source)):
        return "dear"
    return "moderate"


def fields_of(source: str) -> frozenset[str] | None:
    """The fields of the data that an expression reads; None when it may read all of it."""
    found = {match[1] for match in _DATA.finditer(source)}
    if None in found or re.search(r"\bevent\b(?!\s*\.)", source):
        return None
    return frozenset(found)


class TookTooLong(Exception):
    """The evaluation did not end in time, or used too much memory; it was given up."""


class Elsewhere(Protocol):
    """Evaluates dear expressions, and gives up those that take too long."""

    def prepare(self) -> None:
        """A dear expression exists. Returns at once."""
        ...

    def matches(self, source: str, values: bytes) -> bool:
        """Whether the expression is true. values: JSON. Raises TookTooLong."""
        ...


# One, or none.
_elsewhere: list[Elsewhere] = []


def evaluate_dear(elsewhere: Elsewhere | None) -> None:
    """Gives dear expressions to `elsewhere` from now on; None evaluates all of them here."""
    _elsewhere[:] = [] if elsewhere is None else [elsewhere]


def elsewhere() -> Elsewhere | None:
    """What evaluates dear expressions now."""
    return _elsewhere[0] if _elsewhere else None


class InvalidExpression(InvalidArgument):
    """The text is not a CEL expression over data, event, name, id, source, eventNamespace and metadata."""

    code = "INVALID_EXPRESSION"


class Expression:
    """A compiled expression. `matches` never raises."""

    def __init__(self, source: str, compiled: Any) -> None:
        self.source = source
        self._compiled = compiled
        self._cost = cost_of(source)
        self._fields = fields_of(source)
        # Until when it matches nothing, because it took too long.
        self._given_up_until = 0.0
        if self._cost == "dear":
            # A moment before it is needed.
            self._prepare()

    def _prepare(self) -> None:
        for elsewhere in _elsewhere:
            elsewhere.prepare()

    @property
    def is_cheap(self) -> bool:
        """It reads fields and compares them: its work is small whatever the data."""
        return self._cost == "cheap"

    def text(self, data: Any, **about: Any) -> str:
        """The text, number or boolean that the expression gives for an event, as text; empty for anything else.

        Only of cheap expressions. data, about: as of `matches`.
        """
        try:
            result = self._compiled.eval(data=_values(data, about))
        except RuntimeError:
            return ""
        kind, value = result.type().name(), result.value()
        if kind == "BOOL":
            return "true" if value else "false"
        if kind == "DOUBLE":
            return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
        return str(value) if kind in ("STRING", "INT", "UINT") else ""

    def matches(self, data: Any, **about: Any) -> bool:
        """Whether the expression is true for an event.

        data: the event's data, decoded. about: metadata (an object), and the texts name, id, source, namespace, topic
        and timestamp.
        """
        if self._fields is not None and isinstance(data, dict):
            # Converting all of a large event takes longer than evaluating.
            known = cast("dict[str, Any]", data)
            data = {name: known[name] for name in self._fields if name in known}
        values = _values(data, about)
        if self._cost == "cheap" or not _elsewhere:
            return self.evaluate(values)
        text = msgspec.json.encode(values)
        if self._cost == "moderate" and len(text) <= _MODERATE_BYTES_MAX:
            return self.evaluate(values)
        return self._given_to(_elsewhere[0], text)

    def evaluate(self, values: dict[str, Any]) -> bool:
        """Whether it is true, evaluated here for as long as that takes. values: of all variables."""
        try:
            return self._evaluate(values)
        except RuntimeError:
            # The budget is spent, or a value cannot be represented: no match.
            return False

    def _given_to(self, elsewhere: Elsewhere, values: bytes) -> bool:
        if time.monotonic() < self._given_up_until:
            return False
        try:
            return elsewhere.matches(self.source, values)
        except TookTooLong:
            self._given_up_until = time.monotonic() + GIVEN_UP_S
            logger.warning("expression given up", extra={"expression": self.source[:200], "event_bytes": len(values)})
            return False

    def _evaluate(self, values: dict[str, Any]) -> bool:
        result = self._compiled.eval(data=values)
        if result.type().name() == "ERROR" and "out of range" in str(result.value()):
            for name in _VARIABLES:
                values[name] = _within_int64(values[name])
            result = self._compiled.eval(data=values)
        # Only a true boolean matches; an error is a value of its own type.
        return result.type().name() == "BOOL" and bool(result.value())


def _values(data: Any, about: dict[str, Any]) -> dict[str, Any]:
    return {
        **dict.fromkeys(_TEXTS, ""),
        **about,
        "data": data,
        "event": {"data": data, **about},
        "metadata": about.get("metadata") or {},
        "eventNamespace": about.get("namespace", ""),
    }


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
