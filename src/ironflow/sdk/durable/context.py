"""What a handler is given: the event, the run, its secrets, a logger, and the steps."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from uuid import UUID

from ironflow.base.errors import InvalidArgument, NonRetryableError
from ironflow.base.secret_texts import secret_texts
from ironflow.sdk.durable.entity_state import EntityRef, EntityState
from ironflow.sdk.durable.job.event import Event
from ironflow.sdk.durable.restarting import Restarts
from ironflow.sdk.durable.run_logger import RunLogger
from ironflow.sdk.durable.run_logs import RunLogs
from ironflow.sdk.durable.run_values import RunValues
from ironflow.sdk.durable.steps.blocking import BlockingSteps
from ironflow.sdk.durable.steps.changes import BlockingChanges, Changes
from ironflow.sdk.durable.steps.determinism import Course
from ironflow.sdk.durable.steps.publish import NotConfigured
from ironflow.sdk.durable.steps.steps import Steps
from ironflow.sdk.user_code.cancellation import Cancellation, current

if TYPE_CHECKING:
    from ironflow.sdk.client._sync.client import Client as BlockingClient
    from ironflow.sdk.client.client import Client

StepsT = TypeVar("StepsT", Steps, BlockingSteps)


class Clients(Protocol):
    """Where `ctx.client` comes from. wait: waits in a thread for what runs on the event loop."""

    @property
    def of_loop(self) -> "Client": ...

    def of_thread(self, wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> "BlockingClient": ...


class SecretMissing(NonRetryableError):
    """The function was given no secret of that name. Store it, and name it in the function's secrets=."""

    code = "SECRET_MISSING"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """attempt: from 1, within max_attempts (0: unknown). started_at: when this execution began here.

    function_version: of the function's registration when the run was created, from 1; 0 where the server does not say.
    """

    id: str
    function_id: str
    attempt: int
    max_attempts: int
    on_exhausted: str
    started_at: datetime
    environment: str
    function_version: int = 0


class Secrets:
    """The secrets that the function declared. The repr shows names, never values."""

    __slots__ = ("_values", "texts")

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        # What is neither recorded nor logged.
        self.texts = secret_texts(self._values.values())

    def get(self, name: str) -> str:
        """Raises SecretMissing."""
        if name not in self._values:
            raise SecretMissing(
                f"secret {name!r} was not given to this function. Is it stored here, and named in its secrets=?"
            )
        return self._values[name]

    def has(self, name: str) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(f'{name}=***' for name in self._values)}>"


@dataclass(eq=False)
class _Context(Generic[StepsT]):
    event: Event
    step: StepsT
    run: RunInfo
    secrets: Secrets = field(default_factory=lambda: Secrets({}))
    _execution: Cancellation = field(default_factory=Cancellation, repr=False)
    _run_logs: RunLogs = field(default_factory=RunLogs, repr=False)
    _values: RunValues = field(default_factory=lambda: RunValues(lambda: 0, ()), repr=False)
    _course: Course = field(default_factory=Course.of_nothing, repr=False)
    _state: EntityState = field(default_factory=lambda: EntityState(None, None), repr=False)
    _restarts: Restarts = field(default_factory=Restarts.of_nothing, repr=False)

    def now(self) -> datetime:
        """The time of the handler: when the last step before this place ended, else when the run began.

        The same in every replay, and never going back. Raises Unimplemented for a server that does not keep it.
        """
        return self._course.now()

    def uuid(self) -> UUID:
        """The next id of this place: unique, and the same in every replay. Raises StepWithinStep."""
        return self._course.uuid()

    @property
    def random(self) -> Random:
        """Random numbers that are the same in every replay; not for secrets. Raises StepWithinStep in a step."""
        return self._course.random

    def set(self, name: str, value: Any) -> None:
        """Shows a value of the run to `client.runs.value`: any JSON up to 64 KiB, under at most 100 names.

        It makes no request: the next report has it, together with the steps before it.
        Raises ValidationError, SerializationError, SecretInOutput.
        """
        self._values.set(name, value)

    def restart(self, data: Any = None) -> Any:
        """Ends this run and has another go on in its place, without the steps of this one: `return ctx.restart(data)`.

        data: the input of that run, of the type of the handler's data. It has the same key, and takes over unread
        messages, those that wait for the result, what cancels the run, its priority and the slots that it holds to its
        end. Nothing is compensated. Return what this gives, from the handler itself.
        Raises StepWithinStep, RestartWithinBranch, ValidationError, SerializationError, SecretInOutput, Unimplemented.
        """
        return self._restarts.make(data)

    @property
    def state(self) -> Any:
        """The state of the entity that the function is a handler of; to be changed in place, or set.

        What it has become when the handler comes to a step is recorded with that step, else with the end of the run.
        Raises NoEntity, ValidationError, and, when it is set, EntityStateReadOnly in a reader, StepWithinStep.
        """
        return self._state.value

    @state.setter
    def state(self, value: Any) -> None:
        self._state.set(value)

    @property
    def entity(self) -> EntityRef | None:
        """The name and the key of that entity; None in other functions."""
        return self._state.entity

    @property
    def cancellation(self) -> Cancellation:
        """Whether the step or execution is over, for blocking code: `ctx.cancellation.requested`, or
        `ctx.cancellation.wait(seconds)` in place of a sleep. Async code is cancelled instead."""
        return current() or self._execution

    @cached_property
    def logger(self) -> RunLogger:
        """A logger whose lines carry run_id, function_id and attempt beside their data, and do not show the secrets."""
        fields = {"run_id": self.run.id, "function_id": self.run.function_id, "attempt": self.run.attempt}
        return RunLogger(fields, self.secrets.texts, self._run_logs)


@dataclass(eq=False)
class Context(_Context[Steps]):
    """The first parameter of an async handler."""

    _changes: Changes | None = field(default=None, repr=False)
    _client: "Callable[[], Client] | None" = field(default=None, repr=False)

    @property
    def client(self) -> "Client":
        """A client of the run's environment, with the worker's connections and key; in tests, of the test's server.

        What it emits, appends and publishes is linked to the run. Use it in the bodies of steps: what a handler calls
        between steps, it calls again in each execution. Raises NotConfigured where there is no server.
        """
        return _given(self._client)

    async def changed(self, name: str) -> bool:
        """Whether the run came to this point after the change `name` of the code; the same in every execution.

            if await ctx.changed("tax-rules"):
                tax = await ctx.step.run("tax", new_rules, order)

        False where steps behind this point are recorded already: an earlier version of the code made them. True is
        recorded, as step `changed tax-rules`. A wait that is open still does not count as recorded. Ask outside of
        branches. Source: docs/guides/changing-code.md.
        """
        return await _asked(self._changes).answer(name)


@dataclass(eq=False)
class SyncContext(_Context[BlockingSteps]):
    """The first parameter of a handler that is a plain function: its steps are called without `await`."""

    _changes: BlockingChanges | None = field(default=None, repr=False)
    _client: "Callable[[], BlockingClient] | None" = field(default=None, repr=False)

    @property
    def client(self) -> "BlockingClient":
        """As `Context.client`, without `await`."""
        return _given(self._client)

    def changed(self, name: str) -> bool:
        """As `Context.changed`, without `await`."""
        return _asked(self._changes).answer(name)


ChangesT = TypeVar("ChangesT", Changes, BlockingChanges)


def _asked(changes: ChangesT | None) -> ChangesT:
    if changes is None:
        raise InvalidArgument("This context is of no run, and knows no changes of the code.")
    return changes


ClientT = TypeVar("ClientT")


def _given(client: Callable[[], ClientT] | None) -> ClientT:
    if client is None:
        raise NotConfigured(
            "ctx.client is of no server: this handler runs without one. TestClient(client=...) gives one."
        )
    return client()
