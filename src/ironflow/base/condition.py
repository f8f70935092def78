"""CEL conditions of policies: `request.namespace == "production" && "role_admin" in subject.roles`.

Evaluation is bounded by the iteration budget of the CEL library, as in `base/cel.py`. A condition that cannot be
evaluated, such as one over a missing field, is neither true nor false: an allow then does not match, a deny does.
"""

from functools import cache, lru_cache
from typing import Any

from ironflow.base.errors import InvalidArgument

CONDITION_CHARS_MAX = 4096


class InvalidCondition(InvalidArgument):
    """The text is not a CEL expression over request, subject and now."""

    code = "INVALID_CONDITION"


class Condition:
    """A compiled condition. `holds` never raises."""

    def __init__(self, source: str, compiled: Any) -> None:
        self.source = source
        self._compiled = compiled

    def holds(self, request: dict[str, Any], subject: dict[str, Any], now: str) -> bool | None:
        """Whether it is true; None when it cannot be evaluated to a boolean.

        request, subject, now: the variables of the condition. now: RFC 3339 text, for CEL's `timestamp(now)`.
        """
        try:
            result = self._compiled.eval(data={"request": request, "subject": subject, "now": now})
        except (RuntimeError, TypeError, ValueError):
            # The iteration budget is used up, or CEL cannot represent one of the values.
            return None
        return bool(result.value()) if result.type().name() == "BOOL" else None


@cache
def _environment() -> Any:
    # Imported late: it is a large library and most servers have no conditions.
    from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs]

    return cel.NewEnv(variables={"request": cel.Type.DYN, "subject": cel.Type.DYN, "now": cel.Type.STRING})


@lru_cache(maxsize=4096)
def condition(source: str) -> Condition:
    """Compiles `source`. Raises InvalidCondition with the position of the fault."""
    if len(source) > CONDITION_CHARS_MAX:
        raise InvalidCondition(f"The condition has {len(source)} characters; {CONDITION_CHARS_MAX} is the limit.")
    try:
        return Condition(source, _environment().compile(source))
    except RuntimeError as fault:
        reason = " ".join(str(fault).removeprefix("INVALID_ARGUMENT: ").split())
        raise InvalidCondition(f"{source!r} is not a CEL condition: {reason}") from None
