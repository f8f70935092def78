"""`return ctx.restart(data)`: the run ends, and another with the same key goes on in its place. Source: ADR 0055."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ironflow.base.errors import NonRetryableError, Unimplemented
from ironflow.sdk.durable.steps.determinism import Course
from ironflow.sdk.durable.steps.step_runner import check_shows_no_secret
from ironflow.sdk.values.payload import Raw, to_payload

_WHAT = "the data of the restart"


class RestartWithinBranch(NonRetryableError):
    """A branch of a parallel cannot restart the run. Return ctx.restart(...) in the handler, after the branches."""

    code = "RESTART_WITHIN_BRANCH"


class RestartNotReturned(NonRetryableError):
    """The handler called ctx.restart and returned something else. Write `return ctx.restart(data)`."""

    code = "RESTART_NOT_RETURNED"


class Restart(NamedTuple):
    """What a handler returns to restart its run. data: the input of the run that goes on in its place."""

    data: Raw


class Restarts:
    """The restart that one execution asks for. read: raises ValidationError for what is no data of the function.

    supported: whether the server has restarts. encoded: what the server is given for a payload.
    called: the handler has made a restart.
    """

    def __init__(
        self,
        course: Course,
        read: Callable[[Raw], Any],
        secret_texts: tuple[str, ...],
        *,
        supported: bool,
        encoded: Callable[[Raw], Raw] = lambda raw: raw,
    ) -> None:
        self._course = course
        self._read = read
        self._secret_texts = secret_texts
        self._supported = supported
        self._encoded = encoded
        self.called = False

    @classmethod
    def of_nothing(cls) -> "Restarts":
        """Of a context that a test makes."""
        return cls(Course.of_nothing(), lambda _: None, (), supported=True)

    def make(self, data: Any) -> Restart:
        """Raises StepWithinStep, RestartWithinBranch, Unimplemented, ValidationError, SerializationError,
        SecretInOutput, CannotEncode."""
        self._course.check_outside("ctx.restart(...)")
        if self._course.in_branch:
            raise RestartWithinBranch(
                "ctx.restart(...) is called in a branch. Return ctx.restart(...) in the handler, after the branches."
            )
        if not self._supported:
            raise Unimplemented("ctx.restart(...): this server, or the plain protocol, has no restarts of runs.")
        payload = to_payload(data, _WHAT)
        check_shows_no_secret(payload, _WHAT, self._secret_texts)
        # Found here, and not by a run that fails at its beginning, when this one has ended.
        self._read(payload)
        restart = Restart(self._encoded(payload))
        self.called = True
        return restart
