"""What is decided about values; pure. Source: docs/guides/run-values.md."""

from collections.abc import Sequence

from ironflow.base.json import json_text
from ironflow.engine.model import RunValue
from ironflow.features.values.contract import InvalidRunValue, RunValueTooLarge, SetValue

# Of one request, and of a run.
VALUES_MAX = 100
NAME_CHARS_MAX = 128
VALUE_BYTES_MAX = 64 * 1024


def run_values(given: Sequence[SetValue]) -> tuple[RunValue, ...]:
    """The values that a request sets, for the engine. Raises InvalidRunValue, RunValueTooLarge."""
    if len(given) > VALUES_MAX:
        raise InvalidRunValue(f"The request sets {len(given)} values; {VALUES_MAX} is the limit.")
    return tuple(map(_run_value, given))


def _run_value(given: SetValue) -> RunValue:
    if not 0 < len(given.name) <= NAME_CHARS_MAX or "/" in given.name:
        raise InvalidRunValue(
            f"A value is called {given.name[:60]!r}; write 1 to {NAME_CHARS_MAX} characters without `/`."
        )
    text = json_text(given.value) or "null"
    if len(text) > VALUE_BYTES_MAX // 4 and len(text.encode()) > VALUE_BYTES_MAX:
        raise RunValueTooLarge(
            f"Value {given.name!r} is {len(text.encode())} bytes; this server accepts {VALUE_BYTES_MAX}. Store it "
            "elsewhere and set a reference to it."
        )
    return RunValue(name=given.name, value=text, number=given.number)
