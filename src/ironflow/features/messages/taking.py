"""The hot path of take: the messages that runs take in one commit, for all takes that wait for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.message_waits import awaited_name
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.errors import StaleExecution
from ironflow.engine.lease import check_fence
from ironflow.engine.model import Run, RunValue, Step
from ironflow.engine.yields import has_ended
from ironflow.features.messages import contract, rules, store
from ironflow.features.messages.rules import Row
from ironflow.features.runs.in_tx import Change, RunRepository, new_values
from ironflow.storage.port import Tx

# What a run must not record of the secrets that its function is given.
SecretTexts = Callable[[Tx, Run], tuple[str, ...]]


class Taking(NamedTuple):
    """A request of a running execution for a message. values: recorded whether or not there is one."""

    call: Call
    request: contract.TakeMessage
    run_id: str
    values: tuple[RunValue, ...]

    @property
    def fence(self) -> commands.Fence:
        return commands.Fence(self.request.job, self.request.execution_seq, self.request.lease_token)


class Took(NamedTuple):
    """text: the message as the step returns it, None for none. ended_at: the time that the handler goes on with."""

    text: str | None
    ended_at: Millis | None


class Taker:
    """Takes messages in a transaction. Made once: its `apply` is the function that commits gather items for."""

    def __init__(self, repository: RunRepository, secret_texts: SecretTexts, *, lease_ms: int) -> None:
        self._repository = repository
        self._secret_texts = secret_texts
        self._lease_ms = lease_ms

    def apply(self, tx: Tx, takings: list[Taking]) -> list[Took | IronflowError]:
        """What each take received. Takes of one run are decided in order, each on what the one before has left."""
        answers: dict[int, Took | IronflowError] = {}
        left = list(enumerate(takings))
        while left:
            together: dict[str, tuple[int, Taking]] = {}
            later: list[tuple[int, Taking]] = []
            for place, each in left:
                if together.setdefault(each.run_id, (place, each))[0] != place:
                    later.append((place, each))
            self._take(tx, list(together.values()), answers)
            left = later
        return [answers[place] for place in range(len(takings))]

    def _take(self, tx: Tx, takings: Sequence[tuple[int, Taking]], answers: dict[int, Took | IronflowError]) -> None:
        """Decides takes that are all of different runs, and writes the results."""
        step_ids = {each.run_id: {each.request.step_id} for _, each in takings}
        runs = self._repository.load(tx, sorted(step_ids), step_ids)
        unread = store.next_unread_of(tx, _wanted(takings, runs))
        changes: list[Change] = []
        marks: list[tuple[Row, str, str, Millis]] = []
        for place, each in takings:
            try:
                answers[place] = self._decided(tx, each, runs.get(each.run_id), unread, changes, marks)
            except IronflowError as refusal:
                answers[place] = refusal
        if marks:
            store.mark_taken(tx, marks)
        if changes:
            self._repository.save(tx, changes, max(decision.run.updated_at for _, decision in changes))

    def _decided(
        self,
        tx: Tx,
        taking: Taking,
        run: Run | None,
        unread: Mapping[tuple[str, str], Row],
        changes: list[Change],
        marks: list[tuple[Row, str, str, Millis]],
    ) -> Took:
        """Adds what is to be written. Raises StaleExecution, InvalidRunValue."""
        request, now = taking.request, taking.call.now
        run = executed(run, taking.fence)
        if taking.values:
            rules.check_values_show_no_secret(taking.values, self._secret_texts(tx, run))
        values = new_values(tx, run.id, taking.values) if taking.values else ()
        shown = shown_values(taking.fence, values, self._lease_ms)
        known = run.steps.get(request.step_id)
        message, text = None, None
        if known is not None and _is_recorded(known):
            # The answer to the first request was lost.
            took = Took(known.output, handler_time(known))
        else:
            message = unread.get((run.chain_id, request.name))
            took = Took(None, None)
        if message is not None:
            # The request may have waited for it.
            now = max(now, message.created_at)
            text = rules.message_text(message)
            received = commands.WaitForEvent(
                step_id=request.step_id,
                name=request.step_name,
                event=awaited_name(request.name),
                path="",
                value="",
                expression="",
                timeout_ms=0,
                found=text,
            )
            shown = replace(shown, yields=(received,), running=request.running)
        if message is None and not shown.values:
            return took
        decision = decide(run, shown, now)
        changes.append((run, decision))
        if message is None:
            return took
        marks.append((message, run.id, request.step_id, now))
        return Took(text, handler_time(decision.run.steps[request.step_id]))


def _wanted(takings: Sequence[tuple[int, Taking]], runs: Mapping[str, Run]) -> set[tuple[str, str]]:
    """Inbox and name of each message that may be taken."""
    wanted: set[tuple[str, str]] = set()
    for _, each in takings:
        run = runs.get(each.run_id)
        known = run.steps.get(each.request.step_id) if run is not None else None
        if run is not None and (known is None or not _is_recorded(known)):
            wanted.add((run.chain_id, each.request.name))
    return wanted


def _is_recorded(step: Step) -> bool:
    """Whether a take has a step already. One that was cancelled waits anew, as after a resume."""
    return step.open or has_ended(step)


def executed(run: Run | None, fence: commands.Fence) -> Run:
    """The run whose execution has the fence. Raises StaleExecution."""
    if run is None:
        raise StaleExecution(f"Job {fence.job_id!r} belongs to no run here. Drop the job.")
    check_fence(run, fence)
    return run


def shown_values(fence: commands.Fence, values: tuple[RunValue, ...], lease_ms: int) -> commands.Report:
    """A report of values alone. It is not a step boundary, so a requested pause does not take effect."""
    return commands.Report(fence=fence, kind="progress", lease_ms=lease_ms, values=values, running=1)


def handler_time(step: Step) -> Millis | None:
    """The time with which a handler goes on behind the step, in this execution and in each replay."""
    return step.handler_at if step.handler_at is not None else step.ended_at
