"""The hot path of send: the messages of one commit, for all sends that wait for it."""

from collections import defaultdict
from typing import NamedTuple

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.errors import Aborted, IronflowError
from ironflow.base.ids import Ids
from ironflow.base.json import json_text
from ironflow.base.message_waits import awaited_name
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.model import Run
from ironflow.features.events.in_tx import Answer, Emission, Emitter, record_of
from ironflow.features.keys import in_tx as keys
from ironflow.features.messages import contract, rules, store
from ironflow.features.messages.rules import Row
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.runs.in_tx import INVOKED, Change, RunRepository, gather, load_last, load_named
from ironflow.storage.port import Tx

# A run that ends at the moment of a send with `start` is replaced; each time another transaction got on.
TRIES = 20


class Sending(NamedTuple):
    """A message to send. asked: its sender waits for an answer."""

    call: Call
    request: contract.SendMessage
    asked: bool

    @property
    def place(self) -> store.Place | None:
        """Where its idempotency key is unique; None without one."""
        key = self.request.idempotency_key
        return store.Place(self.call.environment, self.request.run_id, key) if key else None


class Sent(NamedTuple):
    """duplicate: the idempotency key was used before. started: the message started the run."""

    message: Row
    duplicate: bool
    started: bool


class Sender:
    """Sends messages in a transaction. Made once: its `apply` is the function that commits gather items for.

    unread_max: how many a run may have from its oldest unread one on.
    """

    def __init__(
        self, repository: RunRepository, emitter: Emitter, ids: Ids, *, data_bytes_max: int, unread_max: int
    ) -> None:
        self._repository = repository
        self._emitter = emitter
        self._ids = ids
        self._data_bytes_max = data_bytes_max
        self._unread_max = unread_max

    def apply(self, tx: Tx, sendings: list[Sending]) -> list[Sent | IronflowError | None]:
        """What became of each; None for one that has to start its run first.

        All runs are locked before anything else, in one order, so that no two nodes deadlock.
        """
        named = dict.fromkeys((each.call.environment, each.request.run_id) for each in sendings)
        run_ids = keys.run_ids_of(tx, named)
        inbox = _Inbox(tx, self._repository, sorted(set(run_ids.values())))
        # A run that has restarted meanwhile, or that was named by an earlier link.
        run_ids = {each: inbox.last_link(run_id) for each, run_id in run_ids.items()}
        inbox.number()
        # Behind the locks: what another node sends with the same key is committed by now.
        known = store.known(tx, [place for each in sendings if (place := each.place) is not None])
        answers: list[Sent | IronflowError | None] = []
        for each in sendings:
            place = each.place
            if place is not None and place in known:
                answers.append(Sent(known[place], duplicate=True, started=False))
                continue
            run = inbox.runs.get(run_ids[each.call.environment, each.request.run_id])
            try:
                if each.request.start and (run is None or run.ended):
                    answers.append(None)
                    continue
                message = self._delivered(inbox, _receiving(run, each), each)
            except IronflowError as refusal:
                answers.append(refusal)
                continue
            if place is not None:
                known[place] = message
            answers.append(Sent(message, duplicate=False, started=False))
        inbox.save(sendings[-1].call.now)
        return answers

    def start(self, tx: Tx, sending: Sending) -> Sent:
        """Sends a message to a run that is started where there is none. Alone, since a start locks the log."""
        place = sending.place
        if place is not None and (known := store.known(tx, [place])):
            return Sent(known[place], duplicate=True, started=False)
        run, started = self._receiver(tx, sending)
        if place is not None and (known := store.known(tx, [place])):
            return Sent(known[place], duplicate=True, started=False)
        inbox = _Inbox(tx, self._repository, [run.id])
        inbox.number()
        message = self._delivered(inbox, run, sending)
        inbox.save(sending.call.now)
        return Sent(message, duplicate=False, started=started)

    def _delivered(self, inbox: "_Inbox", run: Run, sending: Sending) -> Row:
        """Raises InboxFull."""
        call, request, _ = sending
        number = inbox.next_number(run.chain_id)
        if number > self._unread_max and number - inbox.oldest_unread(run.chain_id, number) >= self._unread_max:
            raise contract.InboxFull(
                f"Run {run.id} has {self._unread_max} messages from its oldest unread one on. Let it receive them, or "
                "raise messages_unread_max."
            )
        message = Row(
            id=self._ids.new("msg"),
            environment=call.environment,
            run_id=run.id,
            number=number,
            name=request.name,
            data=json_text(request.data) or "null",
            asked=int(sending.asked),
            scope=request.run_id,
            idempotency_key=request.idempotency_key or None,
            sent_by=call.principal.name or call.run_id,
            created_at=call.now,
            inbox=run.chain_id,
        )
        return inbox.add(message)

    def _receiver(self, tx: Tx, sending: Sending) -> tuple[Run, bool]:
        """The run that takes the message, locked, and whether it was started for it."""
        environment, given = sending.call.environment, sending.request.run_id
        for _ in range(TRIES):
            run_id = keys.run_id_of(tx, environment, given)
            run = self._repository.load(tx, [run_id]).get(run_id)
            run = load_last(tx, run) if run is not None and run.environment == environment else None
            if run is not None and not run.ended:
                return run, False
            answer = self._start(tx, sending)
            (run_id,) = answer.run_ids
            run = self._repository.load(tx, [run_id]).get(run_id)
            if run is not None and not run.ended:
                return run, run.event_id == answer.event_id
        raise Aborted(f"{given!r} changed its run {TRIES} times meanwhile. Send the message again.")

    def _start(self, tx: Tx, sending: Sending) -> Answer:
        call, request, _ = sending
        function_id, _, key = request.run_id.partition(":")
        record = record_of(
            event_id=self._ids.new("evt"),
            environment=call.environment,
            name=INVOKED,
            data=request.input,
            metadata=None,
            version=1,
            namespace="default",
            idempotency_key="",
            run_id=call.run_id,
            emitted_by=call.principal.name,
            data_bytes_max=self._data_bytes_max,
            now=call.now,
            trace=call.trace,
        )
        record = replace(record, kind="invoke", source="message")
        (answer,) = self._emitter.apply(tx, [Emission(record, call.now, function_id=function_id, key=key)])
        if isinstance(answer, IronflowError):
            raise answer
        return answer


class _Inbox:
    """The runs that one transaction sends to, locked until its commit, with what it has sent to them."""

    def __init__(self, tx: Tx, repository: RunRepository, run_ids: list[str]) -> None:
        self._tx = tx
        self._repository = repository
        self.runs = repository.load(tx, run_ids)
        # By inbox.
        self._numbers: dict[str, int] = {}
        self._oldest: dict[str, int] = {}
        self._sent_to: set[str] = set()
        self._added: list[Row] = []
        # Steps that a message of this transaction has ended.
        self._ended: defaultdict[str, set[str]] = defaultdict(set)
        self._changes: dict[str, Change] = {}

    def last_link(self, run_id: str) -> str:
        """The id of the last link of the run's chain, which is locked, too; `run_id` where there is no such run."""
        run = self.runs.get(run_id)
        if run is not None and run.restarted_as is None:
            return run_id
        last = load_named(self._tx, run_id) if run is None else load_last(self._tx, run)
        if last is None:
            return run_id
        self.runs.setdefault(last.id, last)
        return last.id

    def number(self) -> None:
        """Looks how far the inboxes of the runs are numbered, of all at once."""
        inboxes = list(dict.fromkeys(run.chain_id for run in self.runs.values()))
        self._numbers |= store.last_numbers(self._tx, inboxes) if inboxes else {}

    def next_number(self, inbox: str) -> int:
        return self._numbers[inbox] + 1

    def oldest_unread(self, inbox: str, number: int) -> int:
        """The number of the oldest unread message; `number` where there is none."""
        if inbox not in self._oldest:
            self._flush()
            oldest = store.oldest_unread(self._tx, inbox)
            if oldest is None:
                return number
            self._oldest[inbox] = oldest
        return self._oldest[inbox]

    def add(self, message: Row) -> Row:
        """The message as it is stored: a step that waits for it has it at once."""
        run = self.runs[message.run_id]
        step_id = self._waiting_step(run, message.name) if run.open_waits else None
        if step_id is not None:
            message = message._replace(taken_by=step_id, taken_at=message.created_at)
            self._receive(run, step_id, message)
        self._numbers[message.inbox] = message.number
        self._sent_to.add(run.id)
        self._added.append(message)
        return message

    def _waiting_step(self, run: Run, name: str) -> str | None:
        ended = self._ended[run.id]
        found = store.waiting_steps(self._tx, run.id, awaited_name(name), len(ended) + 1)
        return next((each for each in found if each not in ended), None)

    def _receive(self, run: Run, step_id: str, message: Row) -> None:
        stored = self._repository.load(self._tx, [run.id], {run.id: {step_id}})[run.id]
        # The run as this transaction has changed it, with the step that it has not looked at so far.
        run = replace(run, steps={**stored.steps, **run.steps})
        received = commands.EventReceived(step_id=step_id, event=rules.message_text(message))
        decision = decide(run, received, message.created_at)
        gather(self._changes, run, decision)
        self.runs[run.id] = decision.run
        self._ended[run.id].add(step_id)

    def _flush(self) -> None:
        store.add(self._tx, self._added)
        self._added = []

    def save(self, now: int) -> None:
        """Writes the messages, and what became of the runs that waited for them."""
        for run_id in self._sent_to:
            self._tx.notify("messages", run_id)
        self._flush()
        if self._changes:
            self._repository.save(self._tx, list(self._changes.values()), now)


def _receiving(run: Run | None, sending: Sending) -> Run:
    """Raises RunNotFound, ReceiverEnded."""
    hint = " Send with start to start one under that key." if ":" in sending.request.run_id else ""
    run = visible(run, sending.call, sending.request.run_id, hint)
    if run.ended:
        raise contract.ReceiverEnded(
            f"Run {run.id} has ended: it is {run.status}. Send with start to start another under its key."
        )
    return run


def visible(run: Run | None, call: Call, given: str, hint: str = "") -> Run:
    """Raises RunNotFound; hint: behind its message."""
    if run is None or run.environment != call.environment:
        raise RunNotFound(f"There is no run {given[:140]!r} in environment {call.environment!r}.{hint}", run_id=given)
    return run
