"""Logs on stderr: one line for one thing that happened, as text or as JSON."""

import logging
import sys
from datetime import UTC, datetime

from ironflow.base.json import write_json_text

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """`12:00:00.000 info  job lost  run_id=run_… attempt=2`."""

    def format(self, record: logging.LogRecord) -> str:
        said = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        line = f"{_at(record)[11:-1]} {record.levelname.lower():7} {record.getMessage()}"
        if said:
            line += f"  {said}"
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
                for name, value in _fields(record).items()
            }
        )
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return write_json_text(line)


def set_up_logs(level: str, form: str) -> None:
    """Sends the program's logs to stderr. level: debug, info, warn, error or silent."""
    levels = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "silent": 100}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(levels.get(level.lower(), 20))
