"""The errors of Ironflow, one tree for server, client and worker: `except ironflow.errors.NotFound`.

`code` identifies the error, `retryable` is whether trying again may help, `retry_after_s` when. Names of the documents
of other SDKs, such as `FunctionNotFoundError`, stand for the same classes. Two of them, `ConnectionError` and
`TimeoutError`, are Python's names too: write `errors.TimeoutError`.
"""

from ironflow.base.duration import InvalidDuration
from ironflow.base.errors import (
    Aborted,
    AllBranchesFailed,
    AlreadyExists,
    Canceled,
    ConnectionLost,
    DeadlineExceeded,
    EnterpriseRequired,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    InvokeError,
    InvokeTimeoutError,
    IronflowError,
    MethodNotAllowed,
    NonRetryableError,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PreconditionFailed,
    ResourceExhausted,
    RunCancelledError,
    RunEndedError,
    RunFailedError,
    SecretInOutput,
    SerializationError,
    StepError,
    StepTimeoutError,
    SubscriptionError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    UnsupportedMediaType,
    ValidationError,
    VersionConflict,
    WaitTimeoutError,
    WorkerAuthError,
    is_ironflow_error,
    is_retryable,
    to_error,
)
from ironflow.base.retry_after import RetryAfterError
from ironflow.base.signature import SignatureError, SignatureExpired, SignatureMissing
from ironflow.features.functions.contract import FunctionNotFound
from ironflow.features.runs.contract import RunNotFound
from ironflow.sdk.durable.steps.publish import NotConfigured
from ironflow.sdk.values.upcasting import UpcasterChainError

ConnectionError = ConnectionLost
EnterpriseRequiredError = EnterpriseRequired
FunctionNotFoundError = FunctionNotFound
NotConfiguredError = NotConfigured
RunNotFoundError = RunNotFound
SchemaValidationError = ValidationError
TimeoutError = DeadlineExceeded
UnauthenticatedError = Unauthenticated
UnauthorizedError = PermissionDenied

__all__ = [
    "Aborted",
    "AllBranchesFailed",
    "AlreadyExists",
    "Canceled",
    "ConnectionError",
    "ConnectionLost",
    "DeadlineExceeded",
    "EnterpriseRequired",
    "EnterpriseRequiredError",
    "FailedPrecondition",
    "FunctionNotFound",
    "FunctionNotFoundError",
    "Internal",
    "InvalidArgument",
    "InvalidDuration",
    "InvokeError",
    "InvokeTimeoutError",
    "IronflowError",
    "MethodNotAllowed",
    "NonRetryableError",
    "NotConfigured",
    "NotConfiguredError",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "PreconditionFailed",
    "ResourceExhausted",
    "RetryAfterError",
    "RunCancelledError",
    "RunEndedError",
    "RunFailedError",
    "RunNotFound",
    "RunNotFoundError",
    "SchemaValidationError",
    "SecretInOutput",
    "SerializationError",
    "SignatureError",
    "SignatureExpired",
    "SignatureMissing",
    "StepError",
    "StepTimeoutError",
    "SubscriptionError",
    "TimeoutError",
    "Unauthenticated",
    "UnauthenticatedError",
    "UnauthorizedError",
    "Unavailable",
    "Unimplemented",
    "UnsupportedMediaType",
    "UpcasterChainError",
    "ValidationError",
    "VersionConflict",
    "WaitTimeoutError",
    "WorkerAuthError",
    "is_ironflow_error",
    "is_retryable",
    "to_error",
]
