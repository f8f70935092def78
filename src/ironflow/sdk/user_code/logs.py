"""Where the SDK's lines go: to `logging`, or to the logger that a program gives a client, a worker or a runner.

The logger of a worker goes with its tasks, so that whatever runs within them, such as a client, writes to it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol

from ironflow.base.errors import InvalidArgument
from ironflow.base.logs import fields_of_record
from ironflow.sdk.user_code.call import observe_now


class LineSink(Protocol):
    """Anything with these methods, such as a logger of `logging`, structlog or loguru."""

    def debug(self, message: str, /) -> object: ...

    def info(self, message: str, /) -> object: ...

    def warning(self, message: str, /) -> object: ...

    def error(self, message: str, /) -> object: ...


# None: what `logging` does with it; False: nothing is written.
LoggerChoice = LineSink | Literal[False] | None

_chosen: ContextVar[logging.Logger | None] = ContextVar("ironflow_logger", default=None)
_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


class _Forwarder(logging.Handler):
    """Writes each record as one text: its message, its fields and its traceback."""

    def __init__(self, sink: LineSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        method = next((name for level, name in _LEVELS if record.levelno >= level), "debug")
        try:
            text = _text(record)
        except (TypeError, ValueError, KeyError):
            # Arguments that do not fit the message: reported as `logging` does, and no failure of the caller's.
            self.handleError(record)
        else:
            observe_now(getattr(self._sink, method), text)


def _text(record: logging.LogRecord) -> str:
    fields = " ".join(f"{name}={value}" for name, value in fields_of_record(record).items())
    text = f"{record.getMessage()}  {fields}" if fields else record.getMessage()
    return f"{text}\n{logging.Formatter().formatException(record.exc_info)}" if record.exc_info else text


def chosen_logger(choice: LoggerChoice) -> logging.Logger | None:
    """The logger that is written to; None for that of `logging`. Raises InvalidArgument."""
    if choice is None or isinstance(choice, logging.Logger):
        return choice
    # Not of `logging`'s tree: no handler of the program sees its records.
    made = logging.Logger("ironflow")  # noqa: LOG001 - it belongs to one worker or client, not to the program
    if choice is False:
        made.disabled = True
        return made
    if not all(callable(getattr(choice, name, None)) for name in ("debug", "info", "warning", "error")):
        raise InvalidArgument(f"logger is {choice!r}; give what has debug, info, warning and error, or False for none.")
    made.addHandler(_Forwarder(choice))
    made.setLevel(logging.DEBUG)
    return made


@contextmanager
def logging_to(logger: logging.Logger | None) -> Iterator[None]:
    """What is done here, and tasks that begin here, write to `logger`; None for that of `logging`."""
    token = _chosen.set(logger)
    try:
        yield
    finally:
        _chosen.reset(token)


def logger_now(name: str) -> logging.Logger:
    """The logger of what runs now; `name` is that of `logging`'s."""
    return _chosen.get() or logging.getLogger(name)


class SdkLogger:
    """A logger of a module of the SDK. logger: None for the one of what runs when a line is written."""

    def __init__(self, name: str, logger: logging.Logger | None = None) -> None:
        self._named = logging.getLogger(name)
        self._logger = logger

    def takes(self, level: int) -> bool:
        """Whether a line of this level is written. Otherwise a caller need not make its text."""
        return self._now().isEnabledFor(level)

    def _now(self) -> logging.Logger:
        return self._logger or _chosen.get() or self._named

    def debug(self, message: str, **more: Any) -> None:
        self._write(logging.DEBUG, message, more)

    def info(self, message: str, **more: Any) -> None:
        self._write(logging.INFO, message, more)

    def warning(self, message: str, **more: Any) -> None:
        self._write(logging.WARNING, message, more)

    def error(self, message: str, **more: Any) -> None:
        self._write(logging.ERROR, message, more)

    def _write(self, level: int, message: str, more: dict[str, Any]) -> None:
        logger = self._now()
        if logger.isEnabledFor(level):
            logger.log(level, message, stacklevel=3, **more)
