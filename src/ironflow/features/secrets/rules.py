"""What is decided of secrets: names and values, and what a report of a worker may contain."""

import re
from typing import NamedTuple

from msgspec.structs import replace

from ironflow.base.json import read_json, write_json_text
from ironflow.base.secret_texts import SECRET_IN_OUTPUT, is_shown, leak_message, redact
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.model import ErrorValue, error_text
from ironflow.features.secrets.contract import InvalidSecret

VALUE_BYTES_MAX = 64 * 1024

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class SecretRow(NamedTuple):
    """sealed: the value, encrypted with the data key of that number."""

    name: str
    revision: int
    description: str
    data_key: int
    sealed: bytes
    created_at: Millis
    updated_at: Millis


class DataKeyRow(NamedTuple):
    """A key of an environment, encrypted with the master key of that fingerprint."""

    environment: str
    number: int
    wrapped: bytes
    master: str
    created_at: Millis


def check_name(name: str) -> None:
    """Raises InvalidSecret."""
    if not _NAME.fullmatch(name):
        raise InvalidSecret(
            f"{name[:60]!r} is no name of a secret: write 1 to 128 letters, digits, `_`, `-` or `.`, "
            "with a letter, digit or `_` first."
        )


def check_value(value: str) -> None:
    """Raises InvalidSecret; its text does not show the value."""
    size_bytes = len(value.encode(errors="surrogatepass"))
    if not 1 <= size_bytes <= VALUE_BYTES_MAX:
        raise InvalidSecret(f"The value has {size_bytes} bytes; it is a text of 1 to {VALUE_BYTES_MAX}.")
    if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
        raise InvalidSecret("The value holds a NUL or half of a surrogate pair. Encode bytes as base64.")


def without_secrets(report: commands.Report, texts: tuple[str, ...]) -> commands.Report:
    """The report as it may be recorded: errors are redacted, and an output with a secret fails its step and the run.

    texts: from `secret_texts`. Source: docs/guides/secrets.md, "What is recorded".
    """
    if not texts:
        return report
    leak = _first_leak(report, texts)
    error = report.error
    if error is not None:
        clean = {name: redact(getattr(error, name), texts) for name in ("message", "code", "stack", "error_class")}
        details = error.details
        if details is not None:
            details = read_json(redact(write_json_text(details), texts))
        error = replace(error, **clean, details=details)
    shown = tuple(each for each in report.progress if not is_shown(each.details, texts))
    values = tuple(each for each in report.values if not is_shown(f"{each.name} {each.value}", texts))
    report = replace(report, progress=shown, values=values)
    report = replace(report, steps=tuple(_clean_step(step, texts) for step in report.steps), error=error)
    if leak is None:
        return report
    return replace(
        report,
        kind="failed",
        output=None,
        error=leak,
        yields=(),
        cancels=(),
        running=0,
        caused_by=(),
        state=None,
        restart=None,
    )


def _clean_step(step: commands.StepReport, texts: tuple[str, ...]) -> commands.StepReport:
    if step.progress is not None and is_shown(step.progress, texts):
        step = replace(step, progress=None)
    if step.output is not None and is_shown(step.output, texts):
        leak = error_text(_leak_of_step(step))
        return replace(step, status="failed", output=None, error=leak, keeps_failure=False)
    return step if step.error is None else replace(step, error=redact(step.error, texts))


def _first_leak(report: commands.Report, texts: tuple[str, ...]) -> ErrorValue | None:
    """The error of the first thing in the report that shows a secret."""
    for step in report.steps:
        if step.output is not None and is_shown(step.output, texts):
            return _leak_of_step(step)
    if report.output is not None and is_shown(report.output, texts):
        return leak_of("The output of the run")
    if report.restart is not None and is_shown(report.restart.input, texts):
        return leak_of("The data of the restart")
    for value in report.values:
        if is_shown(value.name, texts):
            return leak_of("The name of a value")
        if is_shown(value.value, texts):
            return leak_of(f"The value {value.name!r}")
    if report.state is not None and is_shown(report.state.value, texts):
        return leak_of("The state of the entity")
    for each in report.yields:
        sent = each.input if isinstance(each, commands.Invoke) else ""
        if isinstance(each, commands.WaitForEvent):
            sent = f"{each.payload or ''} {each.value} {each.expression}"
        if is_shown(sent, texts):
            return leak_of(f"The input of step {each.name!r}")
    return None


def _leak_of_step(step: commands.StepReport) -> ErrorValue:
    return leak_of(f"The output of step {step.name!r}")


def leak_of(what: str) -> ErrorValue:
    """The error of a step or run whose output has a secret in it."""
    return ErrorValue(message=leak_message(what), code=SECRET_IN_OUTPUT, retryable=False)
