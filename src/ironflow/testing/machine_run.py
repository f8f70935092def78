"""A run in a time machine, as it was when the machine last settled."""

from typing import Any

from ironflow.features.runs.contract import RunStatus
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.views import Failure, Run, Step
from ironflow.sdk.client.views.run_results import NoRunStarted
from ironflow.testing.run import compensated, step_named


class TimeMachineRun:
    """The run that an event started. It follows the run: after `await machine.advance(...)` it shows the new state.

    run_id: None for an event that started none, which is no error unless something is asked of its run.
    follows: of a run that restarts it shows the last link of the chain; `id` stays that of the first.
    """

    def __init__(self, event: str, run_id: str | None, *, follows: bool) -> None:
        self._event = event
        self._run_id = run_id
        self.follows = follows
        self._info: Run | None = None
        self._steps: list[Step] = []

    @property
    def id(self) -> str:
        """Raises NoRunStarted, as all the others do."""
        if self._run_id is None:
            raise NoRunStarted(
                f"event {self._event!r} started no run: no function here is triggered by it, or the run "
                "comes later, as with debounce=, and is then one of `await machine.runs()`."
            )
        return self._run_id

    @property
    def info(self) -> Run:
        """The answer of `client.runs.get`."""
        if self._info is None:
            raise NoRunStarted(f"run {self.id} has not been read: the machine has not settled since it began.")
        return self._info

    @property
    def status(self) -> RunStatus:
        """As clients see it: a run that sleeps or waits is `paused`; `state` distinguishes the two."""
        return self.info.status

    @property
    def state(self) -> str:
        """pending, running, waiting, paused, completed, failed or cancelled."""
        return self._state_and_reason[0]

    @property
    def reason(self) -> str:
        """Why it waits or is paused: sleep, wait_event, invoke, retry, throttle, injection, exhausted; else empty."""
        return self._state_and_reason[1]

    @property
    def _state_and_reason(self) -> tuple[str, str]:
        state, _, reason = (self.info.state or "").partition(": ")
        return state, reason

    @property
    def output(self) -> Any:
        return self.info.output

    @property
    def error(self) -> Failure | None:
        return self.info.error

    @property
    def attempt(self) -> int:
        return self.info.attempt

    @property
    def steps(self) -> list[Step]:
        """The recorded steps by sequence."""
        return self._steps if self.id else []

    @property
    def compensations(self) -> list[str]:
        """Names of the steps whose compensations ran, in the order in which they ran."""
        return compensated(self.steps)

    def step(self, name: str, index: int = 0) -> Step:
        """The step called `name`; index: of several with that name, from 0. Raises StepNotFound."""
        return step_named(self.steps, name, index)

    def step_output(self, name: str, index: int = 0) -> Any:
        """What that step gave; None when it has not, or failed. Raises StepNotFound."""
        return self.step(name, index).output

    # For the machine.

    @property
    def exists(self) -> bool:
        return self._run_id is not None

    def shows(self, run_id: str, version: int) -> bool:
        """Whether it shows this run as it is now."""
        return self._info is not None and (self._info.id, self._info.version) == (run_id, version)

    async def look(self, client: Client, run_id: str) -> None:
        """Takes over the present state of a run: its own, or a later link of its chain."""
        self._info = await client.runs.get(run_id)
        self._steps = await client.runs.steps(run_id)

    def __repr__(self) -> str:
        if self._info is None:
            return f"<TimeMachineRun of event {self._event!r}: none>"
        failed = f", {self._info.error.message}" if self._info.error else ""
        return f"<TimeMachineRun {self._run_id} of {self._info.function_id}, {self._info.state}{failed}>"
