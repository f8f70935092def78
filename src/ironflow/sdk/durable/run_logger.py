"""`ctx.logger`: lines carry the run's fields beside the data that a handler gives them, and show no secret."""

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

from ironflow.base.secret_texts import redact
from ironflow.sdk.durable.run_logs import RunLogs, formatted
from ironflow.sdk.user_code.logs import logger_now

NAME = "ironflow.function"
# The field of a log record that carries the secrets of its run as far as the filter.
SECRET_TEXTS = "ironflow_secret_texts"
# `logging` refuses data under these names.
_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs for one run.

        ctx.logger.info("charging", extra={"amount": 5})
        ctx.logger.info("charging", {"amount": 5})

    Data is kept as fields of the record; a name that `logging` has for itself gets an underscore behind it.
    What the server's `run_log_level` asks for is kept with the run besides, whatever `logging` does with it.
    """

    def __init__(
        self, fields: Mapping[str, object], secret_texts: tuple[str, ...] = (), run_logs: RunLogs | None = None
    ) -> None:
        logger = logger_now(NAME)
        if _without_secrets not in logger.filters:
            # The logger that a program chose for its worker; other records of it pass unchanged.
            logger.addFilter(_without_secrets)
        super().__init__(logger, fields)
        self._run_logs = run_logs
        self._secret_texts = secret_texts

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if len(args) == 1 and isinstance(args[0], Mapping) and "%" not in str(msg):
            data = cast(Mapping[str, object], args[0])
            kwargs["extra"], args = {**data, **(kwargs.get("extra") or {})}, ()
        if self._run_logs is not None and self._run_logs.takes(level):
            self._keep(self._run_logs, level, formatted(msg, args, kwargs.get("exc_info")), kwargs.get("extra") or {})
        super().log(level, msg, *args, **kwargs)

    def _keep(self, run_logs: RunLogs, level: int, text: str, data: Mapping[object, object]) -> None:
        texts = self._secret_texts
        fields: dict[str, Any] = {str(name): value for name, value in data.items()}
        if texts:
            text = redact(text, texts)
            fields = {redact(name, texts): _redacted(value, texts) for name, value in fields.items()}
        run_logs.add(level, text, fields)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        data = {str(name): value for name, value in (kwargs.get("extra") or {}).items()}
        fields: dict[str, object] = {f"{name}_" if name in _RESERVED else name: value for name, value in data.items()}
        fields |= self.extra or {}
        if self._secret_texts:
            fields[SECRET_TEXTS] = self._secret_texts
        return msg, {**kwargs, "extra": fields}


def _without_secrets(record: logging.LogRecord) -> bool:
    """Replaces the secrets of the record's run in its text, its fields and its traceback."""
    texts: tuple[str, ...] = record.__dict__.pop(SECRET_TEXTS, ())
    if texts:
        record.msg, record.args = redact(_message(record), texts), None
        for name in record.__dict__.keys() - _RESERVED:
            record.__dict__[name] = _redacted(record.__dict__[name], texts)
        if record.exc_info:
            if record.exc_info[1] is not None:
                record.msg += "\n" + redact(logging.Formatter().formatException(record.exc_info), texts)
            record.exc_info = None
    return True


def _message(record: logging.LogRecord) -> str:
    """The text of the record; with its arguments beside it, where they do not fit."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args!r}"


def _redacted(value: object, texts: tuple[str, ...]) -> object:
    """A field without secrets. What is neither a number nor made of texts is shown as its text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        items = cast(Mapping[object, object], value).items()
        return {redact(str(key), texts): _redacted(each, texts) for key, each in items}
    if isinstance(value, list | tuple):
        return [_redacted(each, texts) for each in cast(list[object], value)]
    return redact(str(value), texts)
