"""`ctx.set(name, value)`: what a run shows of itself. Values have no request of their own; the next report has them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ironflow.base.errors import ValidationError
from ironflow.sdk.durable.job.report import SetValue
from ironflow.sdk.durable.steps.determinism import Place
from ironflow.sdk.durable.steps.step_runner import check_shows_no_secret
from ironflow.sdk.values.payload import Raw, to_payload
from ironflow.sdk.values.texts import is_storable

# As the server accepts.
NAME_CHARS_MAX = 128
NAMES_MAX = 100
VALUE_BYTES_MAX = 64 * 1024


class _Set(NamedTuple):
    """call: of all calls of the execution. reached: how many rows there were."""

    call: int
    reached: int
    place: Place
    value: SetValue


class RunValues:
    """The values that one execution has set. reached: how many rows of steps there are at this moment.

    A value is only sent with all steps that had ended before it was set, so it is never newer than what is recorded.
    place: of a call; None where the server does not keep the times that it needs: calls are counted then.
    """

    def __init__(
        self,
        reached: Callable[[], int],
        secret_texts: tuple[str, ...],
        place: Callable[[], Place | None] = lambda: None,
        encoded: Callable[[Raw], Raw] = lambda raw: raw,
    ) -> None:
        self._encoded = encoded
        self._reached = reached
        self._secret_texts = secret_texts
        self._place = place
        self._count = 0
        self._newest: dict[str, _Set] = {}

    def set(self, name: str, value: Any) -> None:
        """Raises ValidationError, SerializationError, SecretInOutput."""
        _check_name(name)
        if name not in self._newest and len(self._newest) >= NAMES_MAX:
            raise ValidationError(f"value {name!r} is one too many: a run sets at most {NAMES_MAX} names.")
        what = f"value {name!r}"
        payload = to_payload(value, what)
        check_shows_no_secret(payload, what, self._secret_texts)
        payload = self._encoded(payload)
        if len(bytes(payload)) > VALUE_BYTES_MAX:
            raise ValidationError(
                f"{what} is {len(bytes(payload))} bytes; {VALUE_BYTES_MAX} is the limit. Store it elsewhere and set a "
                "reference to it."
            )
        self._count += 1
        place = self._place() or Place(0, self._count, ())
        known = self._newest.get(name)
        # In a replay, branches come by in another order: the value of the latest place stays.
        if known is None or known.place <= place:
            value = SetValue(name=name, value=payload, number=place.number)
            self._newest[name] = _Set(self._count, self._reached(), place, value)

    def unsent(self, sent: int, rows: int) -> tuple[list[SetValue], int]:
        """Those of calls after the call `sent`, made when at most `rows` steps had ended; and the last such call."""
        if not self._newest:
            return [], sent
        found = [each for each in self._newest.values() if each.call > sent and each.reached <= rows]
        return [each.value for each in found], max((each.call for each in found), default=sent)

    def rows_before(self, sent: int) -> int:
        """How many steps have to be known before all values of calls after `sent` may be sent."""
        return max((each.reached for each in self._newest.values() if each.call > sent), default=0)


def _check_name(name: str) -> None:
    """Raises ValidationError."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX or "/" in name or name != name.strip():
        raise ValidationError(
            f"a value is called {name!r}; write 1 to {NAME_CHARS_MAX} characters without `/`, and no space around them."
        )
    if not is_storable(name):
        raise ValidationError(f"a value is called {name!r}; leave out U+0000 and halves of surrogate pairs.")
