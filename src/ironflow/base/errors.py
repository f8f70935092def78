"""One tree of errors for server, SDK and CLI.

A class's docstring is its message, its family decides HTTP status and Connect code, `code` is what
programs test for. The SDK raises the same class that the server raised.
Source: protocol/rest.md 1.4 and 1.5, protocol/connectrpc.md 3, protocol/errors-and-defaults.md 1.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, TypeGuard

# Of an id in an error; it may be anything that a client sent.
ID_SHOWN_CHARS = 256


class IronflowError(Exception):
    """Something went wrong."""

    # Of the class; what stands for a failure elsewhere, such as StepError, has the code of that failure.
    code: str = "UNKNOWN_ERROR"
    connect: ClassVar[str] = "unknown"
    status: ClassVar[int] = 500
    # REST answers have `code` in their field `error`, not the message: workers look for it there.
    is_code_in_error: ClassVar[bool] = False
    retryable: bool = False
    retry_after_s: float | None = None

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str = "",
        retryable: bool | None = None,
        retry_after_s: float | None = None,
        details: Mapping[str, Any] | None = None,
        cause: BaseException | None = None,
    ) -> None:
        """code, retryable: empty and None for those of the class. cause: what led to it, as `raise ... from` sets."""
        self.message = message or " ".join((type(self).__doc__ or type(self).__name__).split())
        if code:
            self.code = code
        if retryable is not None:
            self.retryable = retryable
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s
        self.details: dict[str, Any] = dict(details or {})
        super().__init__(self.message)
        if cause is not None:
            self.__cause__ = cause


# Families: one for each kind of answer.


class InvalidArgument(IronflowError):
    """The request is not valid."""

    code, connect, status = "INVALID_ARGUMENT", "invalid_argument", 400


class FailedPrecondition(IronflowError):
    """The state of the thing asked for does not allow this."""

    code, connect, status = "FAILED_PRECONDITION", "failed_precondition", 400


class Unauthenticated(IronflowError):
    """Credentials are missing, unknown, expired or revoked."""

    code, connect, status = "UNAUTHENTICATED", "unauthenticated", 401


class PermissionDenied(IronflowError):
    """The credentials are known but do not allow this."""

    code, connect, status = "UNAUTHORIZED", "permission_denied", 403


class NotFound(IronflowError):
    """There is no such thing."""

    code, connect, status = "NOT_FOUND", "not_found", 404


class MethodNotAllowed(IronflowError):
    """The path exists, but not with this method."""

    code, connect, status = "METHOD_NOT_ALLOWED", "unimplemented", 405

    def __init__(self, message: str | None = None, *, allowed: Sequence[str] = (), **more: Any) -> None:
        super().__init__(message, **more)
        self.allowed = tuple(allowed)


class AlreadyExists(IronflowError):
    """There is one already."""

    code, connect, status = "ALREADY_EXISTS", "already_exists", 409


class Aborted(IronflowError):
    """Another writer came first."""

    code, connect, status = "ABORTED", "aborted", 409


class VersionConflict(Aborted):
    """version conflict: the stream is not at the version that the append expects. Read it again and decide again."""

    code = "VERSION_CONFLICT"

    @property
    def current_version(self) -> int | None:
        """The version that the stream is at; None when the answer does not say it."""
        return self.details.get("current_version")


class PreconditionFailed(IronflowError):
    """The If-Match or If-None-Match condition does not hold."""

    code, connect, status = "PRECONDITION_FAILED", "failed_precondition", 412


class PayloadTooLarge(IronflowError):
    """The payload is larger than this server accepts."""

    code, connect, status = "PAYLOAD_TOO_LARGE", "invalid_argument", 413


class UnsupportedMediaType(IronflowError):
    """The body is in a format this route does not read."""

    code, connect, status = "UNSUPPORTED_MEDIA_TYPE", "invalid_argument", 415


class ResourceExhausted(IronflowError):
    """A limit of this server is used up; try again later."""

    code, connect, status, retryable = "RESOURCE_EXHAUSTED", "resource_exhausted", 429, True


class Canceled(IronflowError):
    """The caller went away."""

    code, connect, status = "CANCELED", "canceled", 499


class Internal(IronflowError):
    """The server met an error of its own; its log has the details."""

    code, connect, status = "INTERNAL_ERROR", "internal", 500


class Unimplemented(IronflowError):
    """This server does not offer that."""

    code, connect, status = "UNIMPLEMENTED", "unimplemented", 501


class Unavailable(IronflowError):
    """The server cannot do this now; try again."""

    code, connect, status, retryable = "UNAVAILABLE", "unavailable", 503, True


class ServerStopping(Unavailable):
    """The server is stopping; connect again in a moment."""

    code = "SERVER_STOPPING"


class DeadlineExceeded(IronflowError):
    """The deadline passed before the answer was ready."""

    code, connect, status, retryable = "TIMEOUT", "deadline_exceeded", 504, True


# What happens in user code and in the SDK around it.


class FailureElsewhere(IronflowError):
    """Something failed in other code."""

    def __init__(self, message: str | None = None, *, error_class: str = "", **more: Any) -> None:
        """code, details: of what failed, where it has any. error_class: the name of its class."""
        super().__init__(message, **more)
        self.error_class = error_class


class StepError(FailureElsewhere):
    """A step failed. exhausted: it has used up attempts of its own."""

    code, retryable = "STEP_FAILED", True
    exhausted = False

    def __init__(self, message: str | None = None, *, step_id: str = "", step_name: str = "", **more: Any) -> None:
        super().__init__(message, **more)
        self.step_id = step_id
        self.step_name = step_name


class StepTimeoutError(StepError):
    """A step ran longer than its timeout."""

    code, retryable = "STEP_TIMEOUT", True

    def __init__(self, message: str | None = None, *, timeout_ms: int | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        if timeout_ms is not None:
            self.details["timeout_ms"] = timeout_ms

    @property
    def timeout(self) -> timedelta | None:
        """What the step was given; None where an older worker recorded it."""
        length_ms = self.details.get("timeout_ms")
        return None if length_ms is None else timedelta(milliseconds=length_ms)


class AllBranchesFailed(IronflowError):
    """No branch of a parallel that goes on until the first success has succeeded.

    errors: of all branches, in their order. Trying again may help where it may for one of them.
    """

    code = "ALL_BRANCHES_FAILED"

    def __init__(self, message: str | None = None, *, errors: Sequence[BaseException] = (), **more: Any) -> None:
        super().__init__(message, **more)
        self.errors = tuple(errors)

    @classmethod
    def of(cls, name: str, errors: Sequence[BaseException]) -> "AllBranchesFailed":
        """name: of the parallel."""
        shown = "; ".join(str(each) or type(each).__name__ for each in errors)
        causes = [
            {
                "message": str(each),
                "code": getattr(each, "code", ""),
                "error_class": getattr(each, "error_class", "") or type(each).__name__,
            }
            for each in errors
        ]
        failed = cls(f"All branches of {name!r} failed: {shown}", errors=errors, details={"errors": causes})
        failed.retryable = any(getattr(each, "retryable", True) for each in errors)
        return failed


class NonRetryableError(IronflowError):
    """Raise this in a step or handler: the run fails at once, without another attempt."""

    code = "NON_RETRYABLE"

    @classmethod
    def wrap(cls, error: BaseException) -> "NonRetryableError":
        """`error` as one that is not tried again: its message, and its details and code where it has any.

        raise NonRetryableError.wrap(error)
        """
        if isinstance(error, NonRetryableError):
            return error
        message = str(error) or type(error).__name__
        if isinstance(error, IronflowError):
            return cls(message, code=error.code, details=error.details, cause=error)
        return cls(message, cause=error)


class SecretInOutput(NonRetryableError):
    """What a step or function returned contains a secret that the function was given, and would be recorded."""

    code = "SECRET_IN_OUTPUT"


class InvokeError(FailureElsewhere):
    """An invoked function failed."""

    code = "INVOKE_FAILED"

    def __init__(
        self,
        message: str | None = None,
        *,
        function_id: str = "",
        child_run_id: str = "",
        cause: str | BaseException = "",
        **more: Any,
    ) -> None:
        """cause: why it failed, as a text or as an exception."""
        super().__init__(message, cause=None if isinstance(cause, str) else cause, **more)
        self.function_id = function_id
        self.child_run_id = child_run_id
        self.cause = str(cause)


class InvokeTimeoutError(InvokeError):
    """An invoked function did not end in time; it goes on by itself."""

    def __init__(self, message: str | None = None, *, timeout_ms: int | None = None, **more: Any) -> None:
        """timeout_ms: what it was given; None where that is not known."""
        super().__init__(message, **more)
        self.timeout_ms = timeout_ms


class WaitTimeoutError(IronflowError):
    """No event came before a wait timed out."""

    code = "WAIT_TIMEOUT"

    def __init__(
        self, message: str | None = None, *, step_id: str = "", step_name: str = "", event: str = "", **more: Any
    ) -> None:
        super().__init__(message, **more)
        self.step_id = step_id
        self.step_name = step_name
        self.event = event


class ValidationError(InvalidArgument):
    """A value does not have the shape that was declared for it."""

    code = "VALIDATION_ERROR"


class SerializationError(IronflowError):
    """A value cannot be written as JSON."""

    code = "SERIALIZATION_ERROR"


class RunEndedError(FailureElsewhere):
    """The run ended without an output."""

    code = "RUN_ENDED"

    def __init__(self, message: str | None = None, *, run_id: str = "", error: Any = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.run_id = run_id
        self.error = error


class RunFailedError(RunEndedError):
    """The run failed."""

    code = "RUN_FAILED"


class RunCancelledError(RunEndedError):
    """The run was cancelled."""

    code = "RUN_CANCELLED"


class ConnectionLost(IronflowError):
    """The server cannot be reached."""

    code, connect, status, retryable = "CONNECTION_LOST", "unavailable", 503, True


class SubscriptionError(Unavailable):
    """A subscription failed for a reason that this SDK does not know."""

    code = "SUBSCRIPTION_ERROR"


class EnterpriseRequired(FailedPrecondition):
    """This server offers that to holders of a licence alone."""

    code, status = "ENTERPRISE_REQUIRED", 402


class WorkerAuthError(Unauthenticated):
    """The server refused this worker's credentials."""

    code = "UNAUTHENTICATED"


FAMILIES: dict[str, type[IronflowError]] = {
    family.connect: family
    for family in (
        MethodNotAllowed,
        Unimplemented,
        FailedPrecondition,
        InvalidArgument,
        Unauthenticated,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        Aborted,
        ResourceExhausted,
        Canceled,
        Internal,
        Unavailable,
        DeadlineExceeded,
        IronflowError,
    )
}
FAMILIES["unimplemented"] = Unimplemented


def error_classes(root: type[IronflowError] = IronflowError) -> dict[str, type[IronflowError]]:
    """Every class of the tree below `root` by its `code`; the first one declared wins a shared code."""
    found: dict[str, type[IronflowError]] = {root.code: root}
    for child in root.__subclasses__():
        for code, cls in error_classes(child).items():
            found.setdefault(code, cls)
    return found


def is_ironflow_error(error: object) -> TypeGuard[IronflowError]:
    return isinstance(error, IronflowError)


def is_retryable(error: object) -> bool:
    """Whether trying again may help: as an IronflowError says itself; also after a broken connection or a time-out."""
    if isinstance(error, IronflowError):
        return error.retryable
    return isinstance(error, ConnectionError | TimeoutError)


def to_error(value: object) -> Exception:
    """`value` if it is an exception, else an IronflowError with it as its message."""
    return value if isinstance(value, Exception) else IronflowError(str(value))
