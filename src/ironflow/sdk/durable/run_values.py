"""`ctx.set(name, value)`: what a run shows of itself. Values have no request of their own; the next report has them."""

from collections.abc import Callable
from typing import Any

from ironflow.base.errors import ValidationError
from ironflow.sdk.durable.job.report import SetValue
from ironflow.sdk.durable.steps.step_runner import check_shows_no_secret
from ironflow.sdk.values.payload import to_payload

# As the server accepts.
NAME_CHARS_MAX = 128
NAMES_MAX = 100
VALUE_BYTES_MAX = 64 * 1024


class RunValues:
    """The values that one execution has set. reached: how many rows of steps there are at this moment.

    A value is only sent with all steps that had ended before it was set, so it is never newer than what is recorded.
    """

    def __init__(self, reached: Callable[[], int], secret_texts: tuple[str, ...]) -> None:
        self._reached = reached
        self._secret_texts = secret_texts
        self._count = 0
        self._newest: dict[str, tuple[int, SetValue]] = {}

    def set(self, name: str, value: Any) -> None:
        """Raises ValidationError, SerializationError, SecretInOutput."""
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX or "/" in name or name != name.strip():
            raise ValidationError(f"a value is called {name!r}; write 1 to {NAME_CHARS_MAX} characters without `/`.")
        if name not in self._newest and len(self._newest) >= NAMES_MAX:
            raise ValidationError(f"value {name!r} is one too many: a run sets at most {NAMES_MAX} names.")
        what = f"value {name!r}"
        payload = to_payload(value, what)
        check_shows_no_secret(payload, what, self._secret_texts)
        if len(bytes(payload)) > VALUE_BYTES_MAX:
            raise ValidationError(
                f"{what} is {len(bytes(payload))} bytes; {VALUE_BYTES_MAX} is the limit. Store it elsewhere and set a "
                "reference to it."
            )
        # The same number in every replay: an older value never takes the place of a newer one.
        self._count += 1
        self._newest[name] = (self._reached(), SetValue(name=name, value=payload, number=self._count))

    def unsent(self, sent: int, rows: int) -> list[SetValue]:
        """Those with a number above `sent`, which were set when at most `rows` steps had ended."""
        return [each for reached, each in self._newest.values() if each.number > sent and reached <= rows]
