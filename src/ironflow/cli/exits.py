"""Exit codes: what a program or a shell script learns from how a command ended."""

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
    """How a command ended. The higher codes are those of sysexits, as programs that start servers know them."""

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


MEANINGS: dict[Exit, str] = {
    Exit.OK: "Done.",
    Exit.FAILED: "What was asked for failed: a run that was waited for failed or was cancelled, or the server erred.",
    Exit.USAGE: "The command or its data is not valid; nothing was done.",
    Exit.UNREACHABLE: "The server cannot be reached.",
    Exit.NOT_FOUND: "There is no such run, event, function, bucket or key.",
    Exit.REFUSED: "The server refused: not allowed, exists already, another revision, not in a state for it.",
    Exit.NOT_A_DATABASE: "`serve`: the file is not an Ironflow database.",
    Exit.CANNOT_LISTEN: "`serve`: the port cannot be used.",
    Exit.CANNOT_OPEN: "`serve`: the database cannot be opened.",
    Exit.TRY_AGAIN: (
        "Not now: the wait timed out, the server is busy, or another server has the database open. "
        "The same command may work later."
    ),
    Exit.TOO_NEW: "`serve`: the database was written by a newer version.",
    Exit.INTERRUPTED: "Interrupted with Ctrl-C.",
}


class UsageError(InvalidArgument):
    """The command cannot be understood."""

    code = "USAGE"


class Interrupted(IronflowError):
    """Interrupted; nothing more was done."""

    code = "INTERRUPTED"


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
    """The exit code that the error's class names, else the one of its family, else FAILED."""
    named: int | None = getattr(fault, "exit_code", None)
    if named is not None:
        return Exit(named)
    if isinstance(fault, ResourceExhausted):
        return Exit.TRY_AGAIN if fault.retryable else Exit.REFUSED
    for families, code in _FAMILIES:
        if isinstance(fault, families):
            return code
    return Exit.FAILED
