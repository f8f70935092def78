"""Lines of `ctx.logger` on their way to the server: they travel with the reports of their execution.

Source: docs/reference/semantics.md, "Logs of a run".
"""

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from datetime import datetime
from itertools import count
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ironflow.base.errors import IronflowError
from ironflow.base.json import check_payload
from ironflow.base.time import Millis, SystemClock, to_datetime
from ironflow.sdk.values.payload import Raw, to_payload
from ironflow.sdk.values.texts import storable

# Lines that wait for a report, and their bytes. Beyond them lines are left out: a handler never waits for its log.
WAITING_MAX = 1_000
WAITING_BYTES_MAX = 1024 * 1024
LINE_BYTES_MAX = 64 * 1024
# The numbers of our levels in `logging`.
_WEIGHTS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_machine_now = SystemClock().now
_step: ContextVar[str] = ContextVar("ironflow_logging_step", default="")


class LogLine(Struct, kw_only=True):
    """number: its place in the execution. data: a JSON object. step_id: of the step whose body wrote it."""

    number: int
    at: datetime
    level: str
    message: str
    data: Raw | UnsetType = UNSET
    step_id: str | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET


class RunLogs:
    """The lines of one execution that the server does not have yet. Threads may add lines.

    level: from which on they are kept; empty for none. is_replaying: whether the handler is where an earlier
    execution has been, which kept its lines. now: dates lines. on_line: called after each line, in the thread that
    wrote it.
    """

    def __init__(
        self,
        level: str = "",
        is_replaying: Callable[[], bool] = lambda: False,
        now: Callable[[], Millis] = _machine_now,
    ) -> None:
        self._now = now
        self._lowest = _WEIGHTS.get(level, 0)
        self._is_replaying = is_replaying
        self.on_line: Callable[[], None] | None = None
        self._numbers = count()
        self._waiting: list[LogLine] = []
        self._bytes = 0
        self._left_out = 0

    def takes(self, weight: int) -> bool:
        """Whether a line of this level of `logging` is kept."""
        return 0 < self._lowest <= weight

    def add(self, weight: int, message: str, data: Mapping[str, Any]) -> None:
        """Keeps a line for the next report. weight: the number of its level in `logging`.

        It raises nothing: a line that cannot be kept must not fail its run.
        """
        step_id = _step.get()
        if not step_id and self._is_replaying():
            return
        text, cut = _shortened(storable(message))
        payload = _payload(data) if data else UNSET
        if payload is None:
            payload, cut = UNSET, True
        size = len(text) + (0 if isinstance(payload, UnsetType) else len(bytes(payload)))
        if len(self._waiting) >= WAITING_MAX or self._bytes + size > WAITING_BYTES_MAX:
            self._left_out += 1
            return
        self._bytes += size
        self._append(_level(weight), text, payload, step_id, cut)
        if self.on_line is not None:
            self.on_line()

    def _append(self, level: str, text: str, data: Raw | UnsetType, step_id: str, cut: bool) -> None:
        self._waiting.append(
            LogLine(
                number=next(self._numbers),
                at=to_datetime(self._now()),
                level=level,
                message=text,
                data=data,
                step_id=step_id or UNSET,
                truncated=True if cut else UNSET,
            )
        )

    def waiting(self) -> tuple[LogLine, ...]:
        """The lines that no report has brought to the server."""
        if self._left_out and len(self._waiting) < WAITING_MAX:
            left_out, self._left_out = self._left_out, 0
            text = f"{left_out} lines are left out here: they were written faster than they could be reported."
            self._append("warn", text, UNSET, "", cut=False)
        return tuple(self._waiting)

    def reported(self, lines: tuple[LogLine, ...]) -> None:
        """The server has these lines, the first of those that wait."""
        del self._waiting[: len(lines)]
        for line in lines:
            self._bytes -= len(line.message) + (0 if isinstance(line.data, UnsetType) else len(bytes(line.data)))


class _InStep:
    """The block of `in_step`; a class, since a generator takes twice as long at every step."""

    __slots__ = ("_step_id", "_token")

    def __init__(self, step_id: str) -> None:
        self._step_id = step_id

    def __enter__(self) -> None:
        self._token: Token[str] = _step.set(self._step_id)

    def __exit__(self, *_: object) -> None:
        _step.reset(self._token)


def in_step(step_id: str) -> _InStep:
    """Lines that are written within the block belong to the step."""
    return _InStep(step_id)


def formatted(message: object, args: tuple[object, ...], exc_info: object) -> str:
    """The text of a line as `logging` would write it, with the traceback of an exception."""
    text = str(message)
    if args:
        try:
            text = text % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args)
        except (TypeError, ValueError, KeyError):
            # `logging` shows what is wrong; here the arguments are shown beside the text.
            text = f"{text} {args!r}"
    if exc_info:
        error = exc_info if isinstance(exc_info, BaseException) else _current(exc_info)
        if error is not None:
            text += "\n" + "".join(traceback.format_exception(error)).rstrip()
    return text


def _current(exc_info: object) -> BaseException | None:
    found = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
    error = found[1] if len(found) > 1 else None
    return error if isinstance(error, BaseException) else None


def _level(weight: int) -> str:
    return next((name for name, each in reversed(_WEIGHTS.items()) if weight >= each), "debug")


def _shortened(text: str) -> tuple[str, bool]:
    whole = text.encode()
    if len(whole) <= LINE_BYTES_MAX:
        return text, False
    return whole[:LINE_BYTES_MAX].decode(errors="ignore"), True


def _payload(data: Mapping[str, Any]) -> Raw | None:
    """The data as JSON, values that JSON does not have as their texts; None when it cannot be written or is large."""
    try:
        payload = to_payload(data, "the data")
    except IronflowError:
        try:
            shown = {storable(str(name)): storable(str(value)) for name, value in data.items()}
            payload = Raw(msgspec.json.encode(shown))
        except (ValueError, TypeError, RecursionError):
            return None
    if len(bytes(payload)) > LINE_BYTES_MAX or b"\\u0000" in bytes(payload):
        return None
    try:
        return check_payload(payload, "the data")
    except IronflowError:
        return None
