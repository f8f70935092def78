"""A line in the log for each run that starts, fails and ends in a worker."""

import logging
import re
import sysconfig
from typing import Any, assert_never

from msgspec import UNSET

from ironflow.base.logs import RUNS
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import Completed, Failed, Outcome, Restarted, RunFailure, Yielded
from ironflow.sdk.user_code.logs import SdkLogger

logger = SdkLogger(RUNS)

# Of an execution that was ended because its run is to be cancelled.
RUN_CANCELLED = "RUN_CANCELLED"

_PLACE = re.compile(r'^  File "(.+)", line (\d+), in ', re.MULTILINE)
# Between an exception and the one that it led to.
_LED_TO = re.compile(
    r"^(?:The above exception was the direct cause|During handling of the above exception).*$", re.MULTILINE
)
_LIBRARIES = (*(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")), "<frozen ")


def log_started(job: Assignment) -> None:
    """The first execution of an attempt; others go on after a wait."""
    first = job.execution_seq <= 1 and not job.completed_steps and job.compensating is None
    if first and logger.takes(logging.INFO):
        logger.info("run started", extra=_fields(job))


def log_ended(job: Assignment, outcome: Outcome) -> None:
    """How an execution ended. A run that has failed before is undone without a line."""
    match outcome:
        case Yielded():
            pass
        case Completed():
            if logger.takes(logging.INFO):
                logger.info("run completed", extra=_fields(job))
        case Restarted():
            logger.info("run restarted", extra=_fields(job))
        case Failed(error=error):
            if job.compensating is None and error.code != RUN_CANCELLED:
                # The server decides; it tries again what this worker calls retryable.
                again = error.retryable and job.attempt < (job.max_attempts or 0)
                text = "attempt failed" if again else "run failed"
                logger.warning(text, extra={**_fields(job), **_failure_fields(error)})
        case _:
            assert_never(outcome)


def _fields(job: Assignment) -> dict[str, Any]:
    of = f"/{job.max_attempts}" if job.max_attempts else ""
    return {"function_id": job.function_id, "run_id": job.run_id, "attempt": f"{job.attempt}{of}"}


def _failure_fields(error: RunFailure) -> dict[str, Any]:
    fields: dict[str, Any] = {"error": error.message if error.error_class is UNSET else _named(error)}
    place = raised_at(error.stack, error.error_class) if isinstance(error.stack, str) else ""
    return fields | ({"raised_at": place} if place else {})


def _named(error: RunFailure) -> str:
    return f"{error.error_class}: {error.message}"


def raised_at(stack: str, error_class: object) -> str:
    """File and line of the user's frame in which an exception of that class was raised, such as `/app/app.py:12`.

    stack: as `failure.stack_of` makes it. The innermost frame outside of libraries; empty without any frame.
    """
    parts = _LED_TO.split(stack)
    of_class = [part for part in parts if _raises(part, str(error_class))]
    for part in (*reversed(of_class), *reversed(parts)):
        frames = [(str(file), str(line)) for file, line in _PLACE.findall(part)]
        own = [each for each in frames if not each[0].startswith(_LIBRARIES)] or frames
        if own:
            return ":".join(own[-1])
    return ""


def _raises(part: str, error_class: str) -> bool:
    """Whether the exception at the end of a part of a traceback is of that class."""
    return re.search(rf"^(?:[\w.<>]+\.)?{re.escape(error_class)}(?::|$)", part, re.MULTILINE) is not None
