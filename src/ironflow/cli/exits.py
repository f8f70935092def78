"""Exit codes of the commands, and the exit code of each family of errors."""

from enum import IntEnum

from ironflow.base.errors import (
    Aborted,
    AlreadyExists,
    ConnectionLost,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    IronflowError,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PreconditionFailed,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)


class Exit(IntEnum):
    """The result of a command. Codes from 65 follow sysexits.h, which process supervisors know."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    NOT_A_DATABASE = 65
    CANNOT_LISTEN = 71
    CANNOT_OPEN = 74
    TRY_AGAIN = 75
    TOO_NEW = 78
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: dict[Exit, str] = {
    Exit.OK: "The command succeeded.",
    Exit.FAILED: "The operation failed: the awaited run failed or was cancelled, or the server had an internal error.",
    Exit.USAGE: "The command or its data is invalid; nothing was done.",
    Exit.UNREACHABLE: "The server cannot be reached.",
    Exit.NOT_FOUND: "The run, event, function, bucket or key does not exist.",
    Exit.REFUSED: (
        "The server refused the request: no permission, already exists, another revision, or the wrong state."
    ),
    Exit.NOT_A_DATABASE: "`serve`: the file is not an Ironflow database.",
    Exit.CANNOT_LISTEN: "`serve`: the port cannot be used.",
    Exit.CANNOT_OPEN: "`serve`: the database cannot be opened.",
    Exit.TRY_AGAIN: (
        "Temporary failure: the wait timed out, the server is busy, or another server has the database open. "
        "The same command may succeed later."
    ),
    Exit.TOO_NEW: "`serve`: the database was written by a newer version.",
    Exit.INTERRUPTED: "Interrupted with Ctrl-C. `serve`, `worker` and `dev` end with 0 after a clean stop.",
    Exit.TERMINATED: "Ended by SIGTERM. `serve`, `worker` and `dev` end with 0 after a clean stop.",
}


class UsageError(InvalidArgument):
    """The command is invalid."""

    code = "USAGE"


class Interrupted(IronflowError):
    """The command was interrupted."""

    code = "INTERRUPTED"


class Terminated(Interrupted):
    """The command was ended by SIGTERM."""

    code = "TERMINATED"
    exit_code = 143


class TerminatedBySignal(KeyboardInterrupt):
    """SIGTERM, raised as Ctrl-C is: what goes on after errors lets it pass."""


_FAMILIES: tuple[tuple[tuple[type[IronflowError], ...], Exit], ...] = (
    ((Interrupted,), Exit.INTERRUPTED),
    ((ConnectionLost,), Exit.UNREACHABLE),
    ((NotFound,), Exit.NOT_FOUND),
    ((InvalidArgument, PayloadTooLarge, UnsupportedMediaType), Exit.USAGE),
    ((Unauthenticated, PermissionDenied, AlreadyExists, Aborted), Exit.REFUSED),
    ((PreconditionFailed, FailedPrecondition), Exit.REFUSED),
    ((Unavailable, DeadlineExceeded), Exit.TRY_AGAIN),
)


def exit_of(fault: IronflowError) -> Exit:
    """The exit code of the error's class, else that of its family, else FAILED."""
    named: int | None = getattr(fault, "exit_code", None)
    if named is not None:
        return Exit(named)
    if isinstance(fault, ResourceExhausted):
        return Exit.TRY_AGAIN if fault.retryable else Exit.REFUSED
    for families, code in _FAMILIES:
        if isinstance(fault, families):
            return code
    return Exit.FAILED
