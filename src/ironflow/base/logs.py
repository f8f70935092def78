"""Logs on stderr: one line for one thing that happened, as text or as JSON."""

import logging
import math
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from ironflow.base.json import write_json_text

# One line in this time for one cause, and so many causes are remembered.
ONCE_IN_S = 60.0
CAUSES_MAX = 1000
# The logger of the lines about runs that start, fail and end in a worker.
RUNS = "ironflow.runs"
# Loggers of the server. What users' functions log is theirs.
_SERVERS = tuple(
    f"ironflow.{layer}" for layer in ("dispatch", "features", "log", "notify", "server", "storage", "transports")
)

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields_of_record(record: logging.LogRecord) -> dict[str, object]:
    """What was given besides the message."""
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """`12:00:00.000 info  job lost  run_id=run_… attempt=2`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in fields_of_record(record).items())
        line = f"{_at(record)[11:-1]} {record.levelname.lower():7} {record.getMessage()}"
        if fields:
            line += f"  {fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, message, the fields, and the error with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(
            {
                name: value if isinstance(value, int | float | bool) else str(value)
                for name, value in fields_of_record(record).items()
            }
        )
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return write_json_text(line)


class OnePerCause(logging.Filter):
    """Lets a warning or error through once a minute for one cause: the same message with the same error.

    The next line of that cause says how many were left out (`repeated`). now: seconds that never go back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        # By cause: when a line was let through, and how many were not since.
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        cause = _cause(record) if record.levelno >= logging.WARNING else ""
        if not cause:
            return True
        key = (record.name, str(record.msg), cause)
        now = self._now()
        at, left_out = self._seen.get(key, (-math.inf, 0))
        if now - at < ONCE_IN_S:
            self._seen[key] = (at, left_out + 1)
            return False
        if len(self._seen) >= CAUSES_MAX:
            self._seen = {each: seen for each, seen in self._seen.items() if now - seen[0] < ONCE_IN_S}
        self._seen[key] = (now, 0)
        if left_out:
            record.repeated = left_out
        return True


def _cause(record: logging.LogRecord) -> str:
    """The error of the server that a line is about, without the numbers in it; empty for none.

    A line about one job or run is about one thing that happened.
    """
    if not record.name.startswith(_SERVERS) or hasattr(record, "job_id") or hasattr(record, "run_id"):
        return ""
    error = getattr(record, "error", None)
    if error is None and record.exc_info and record.exc_info[1] is not None:
        error = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
    return "" if error is None else re.sub(r"\d+", "#", str(error))


def set_up_logs(level: str, form: str, *, each_run: bool = False) -> None:
    """Sends the program's logs to stderr. level: debug, info, warn, error or silent.

    each_run: a line for each run that starts and ends, which otherwise only `debug` shows. Failed runs have one always.
    """
    levels = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "silent": 100}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(OnePerCause())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(levels.get(level.lower(), 20))
    if root.level > logging.DEBUG:
        logging.getLogger(RUNS).setLevel(logging.INFO if each_run else logging.WARNING)
