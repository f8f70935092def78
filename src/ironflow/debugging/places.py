"""The moments that people name: by a time, an age, a step, or `start`, `end` and `failure`; pure."""

from datetime import datetime

from ironflow.base.duration import InvalidDuration, duration_ms
from ironflow.base.errors import InvalidArgument
from ironflow.base.time import Millis, parse_time, to_datetime, to_millis
from ironflow.debugging.history import History


class NoSuchMoment(InvalidArgument):
    """The text names no moment of the run."""

    code = "NO_SUCH_MOMENT"


def place(history: History, run_id: str, wanted: str, now: Millis | None = None) -> int:
    """The moment that a text names: `start`, `end`, `failure`, `+90s` after the creation, a time, an age, or a step.

    history: not empty. now: of ages such as `2h`; None takes none. Raises NoSuchMoment.
    """
    text = wanted.strip()
    if text in ("start", "end"):
        return 0 if text == "start" else history.last
    if text == "failure":
        found = history.first_failure()
        if found is None:
            raise NoSuchMoment(f"nothing has failed in run {run_id}.")
        return found
    if text.startswith("+"):
        try:
            offset_ms = duration_ms(text[1:])
        except InvalidDuration:
            raise NoSuchMoment(f"{wanted!r} is no time after the creation; write +90s, for one.") from None
        return history.at(to_datetime(to_millis(history[0].at) + offset_ms))
    found = history.of_step(text)
    at = _time(text, now)
    if found is None and at is not None:
        found = history.at(at)
    if found is None:
        raise NoSuchMoment(f"{wanted!r} is neither start, end, failure, a time, +90s nor a step of run {run_id}.")
    return found


def _time(text: str, now: Millis | None) -> datetime | None:
    try:
        if now is not None:
            return to_datetime(now - duration_ms(text))
    except InvalidDuration:
        pass
    try:
        return to_datetime(parse_time(text))
    except InvalidArgument:
        return None
