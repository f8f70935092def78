"""What happens: sending, asking, taking and answering messages."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.errors import PayloadTooLarge
from ironflow.base.ids import Ids
from ironflow.base.json import Json, json_text, to_json
from ironflow.base.paging import number_of
from ironflow.base.run_keys import check_key
from ironflow.base.time import Millis, to_datetime
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.features.events.in_tx import Emitter, check_idempotency_key
from ironflow.features.keys import in_tx as keys
from ironflow.features.messages import contract, rules, store
from ironflow.features.messages.rules import Row
from ironflow.features.messages.sending import Sender, Sending, Sent, visible
from ironflow.features.messages.taking import SecretTexts, Taker, Taking, executed, handler_time, shown_values
from ironflow.features.runs.in_tx import RunRepository, last_id, look, look_named, new_values
from ironflow.features.values.in_tx import run_values
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

# A lost notification, or the end of the run, is found after this at the latest.
LOOK_AGAIN_S = 1.0
# A list ends when its messages have so many bytes; they are read a few at a time.
PAGE_BYTES = 4 * 1024 * 1024
READ_AT_ONCE = 8


class MessageTooLarge(PayloadTooLarge):
    """The message's data, or the answer to it, is larger than this server accepts."""

    code = "MESSAGE_TOO_LARGE"


class Messages:
    """The messages feature. unread_max: how many a run may have from its oldest unread one on.

    secret_texts: what a run must not record of the secrets that its function is given.
    """

    def __init__(
        self,
        db: Database,
        notifier: Notifier,
        repository: RunRepository,
        emitter: Emitter,
        ids: Ids,
        *,
        lease_ms: int,
        data_bytes_max: int,
        answer_bytes_max: int,
        unread_max: int,
        secret_texts: SecretTexts,
    ) -> None:
        self._db = db
        self._secret_texts = secret_texts
        self._notifier = notifier
        self._repository = repository
        self._sender = Sender(repository, emitter, ids, data_bytes_max=data_bytes_max, unread_max=unread_max)
        self._sender_apply = self._sender.apply
        self._taker_apply = Taker(repository, secret_texts, lease_ms=lease_ms).apply
        self._lease_ms = lease_ms
        self._data_bytes_max, self._answer_bytes_max = data_bytes_max, answer_bytes_max

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.send: self.send,
            contract.ask: self.ask,
            contract.list_: self.list_,
            contract.take: self.take,
            contract.answer: self.answer,
        }

    async def send(self, call: Call, request: contract.SendMessage) -> contract.Sent:
        sent = await self._send(call, request, asked=False)
        return contract.Sent(
            id=sent.message.id,
            run_id=sent.message.run_id,
            duplicate=sent.duplicate or None,
            started=sent.started or None,
        )

    async def ask(self, call: Call, request: contract.Ask) -> contract.Answer:
        message = (await self._send(call, request, asked=True)).message
        deadline = asyncio.get_running_loop().time() + request.wait_ms / 1000

        def find(tx: Tx) -> tuple[Row, bool]:
            found = store.one(tx, message.id) or message
            return found, _has_ended(tx, found)

        with self._notifier.waiter("message_answered", message.id) as waiter:
            while True:
                found, ended = await self._db.peek(find)
                state = rules.decide_answer_state(found, run_ended=ended)
                left = deadline - asyncio.get_running_loop().time()
                if state != "accepted" or left <= 0:
                    return _answer(found, state)
                await waiter.wait(min(left, LOOK_AGAIN_S))

    async def list_(self, call: Call, request: contract.ListMessages) -> contract.Messages:
        after = number_of(request.cursor)

        def find(tx: Tx) -> tuple[list[Row], bool]:
            run_id = keys.run_id_of(tx, call.environment, request.run_id)
            run = visible(look_named(tx, run_id), call, request.run_id)
            return _page(tx, run.chain_id, after, request.limit, unread=request.unread)

        page, more = await self._db.read(find)
        return contract.Messages(
            messages=[_listed(each) for each in page], next_cursor=str(page[-1].number) if more else None
        )

    async def take(self, call: Call, request: contract.TakeMessage) -> contract.Taken:
        deadline = asyncio.get_running_loop().time() + request.wait_ms / 1000
        taking = Taking(call, request, _run_id_of(request.job), run_values(request.values))
        with self._notifier.waiter("messages", taking.run_id) as waiter:
            while True:
                took = await self._db.write_many(self._taker_apply, taking)
                taking = taking._replace(values=())
                left = deadline - asyncio.get_running_loop().time()
                if took.text is not None or left <= 0:
                    return contract.Taken(message=to_json(took.text), ended_at=_moment(took.ended_at))
                await waiter.wait(min(left, LOOK_AGAIN_S))

    async def answer(self, call: Call, request: contract.AnswerMessage) -> contract.Answered:
        run_id = _run_id_of(request.job)
        fence = commands.Fence(request.job, request.execution_seq, request.lease_token)
        size = len(bytes(request.value))
        if size > self._answer_bytes_max:
            raise MessageTooLarge(f"The answer is {size} bytes; this server accepts {self._answer_bytes_max}.")
        text = json_text(request.value) or "null"
        values = run_values(request.values)

        def change(tx: Tx) -> contract.Answered:
            run = self._repository.load(tx, [run_id], {run_id: {request.step_id}}).get(run_id)
            run = executed(run, fence)
            texts = self._secret_texts(tx, run)
            rules.check_shows_no_secret(text, "The answer", texts)
            rules.check_values_show_no_secret(values, texts)
            shown = shown_values(fence, new_values(tx, run.id, values) if values else (), self._lease_ms)
            known = run.steps.get(request.step_id)
            if known is not None:
                # The answer to the first request was lost.
                if shown.values:
                    self._repository.save(tx, [(run, decide(run, shown, call.now))], call.now)
                return contract.Answered(counted=known.output == "true", ended_at=_moment(handler_time(known)))
            counted = store.answer(
                tx, run_id, request.message_id, "refused" if request.refused else "answered", text, call.now
            )
            step = commands.StepReport(
                step_id=request.step_id,
                name=request.step_name,
                type="invoke",
                status="completed",
                output="true" if counted else "false",
                error=None,
                started_at=call.now,
                ended_at=call.now,
                duration_ms=0,
            )
            decision = decide(run, replace(shown, steps=(step,), running=request.running), call.now)
            self._repository.save(tx, [(run, decision)], call.now)
            return contract.Answered(
                counted=counted, ended_at=_moment(handler_time(decision.run.steps[request.step_id]))
            )

        return await self._db.write(change)

    async def _send(self, call: Call, request: contract.SendMessage, *, asked: bool) -> Sent:
        rules.check_message_name(request.name)
        check_idempotency_key(request.idempotency_key)
        if len(bytes(request.data)) > self._data_bytes_max:
            raise MessageTooLarge(
                f"The data is {len(bytes(request.data))} bytes; this server accepts {self._data_bytes_max}."
            )
        if request.start:
            call.require("functions:invoke")
            function_id, _, key = request.run_id.partition(":")
            if not function_id or not key:
                raise contract.InvalidRunMessage("A message that may start its run names it as `function:key`.")
            check_key(key)
        sending = Sending(call, request, asked)
        sent = await self._db.write_many(self._sender_apply, sending)
        return sent or await self._db.write(lambda tx: self._sender.start(tx, sending))


def _page(tx: Tx, inbox: str, after: int, limit: int, *, unread: bool) -> tuple[list[Row], bool]:
    """Messages in their order, up to `limit`, or fewer where they are large; and whether there are more."""
    page: list[Row] = []
    size = 0
    while len(page) < limit and size < PAGE_BYTES:
        wanted = min(READ_AT_ONCE, limit - len(page))
        found = store.of_inbox(tx, inbox, page[-1].number if page else after, wanted, unread=unread)
        page += found
        size += sum(len(each.data) for each in found)
        if len(found) < wanted:
            return page, False
    return page, bool(store.of_inbox(tx, inbox, page[-1].number, 1, unread=unread))


def _moment(at: Millis | None) -> datetime | None:
    return None if at is None else to_datetime(at)


def _run_id_of(job_id: str) -> str:
    """The run of a job id; for another text, an id that no run has."""
    return f"run_{job_id.removeprefix('job_').rpartition('_')[0]}"


def _has_ended(tx: Tx, message: Row) -> bool:
    """Whether no run is left that could answer: the one that took the message, else the last link of its chain."""
    run_id = message.run_id if message.taken_at is not None else last_id(tx, message.inbox)
    run = look(tx, [run_id]).get(run_id)
    return run is None or run.ended


def _answer(message: Row, state: str) -> contract.Answer:
    value = to_json(message.answer)
    return contract.Answer(
        id=message.id,
        run_id=message.run_id,
        state=state,
        taken=message.taken_at is not None,
        value=value if state == "answered" else None,
        reason=_reason(message.answer) if state == "refused" else None,
    )


def _reason(text: str | None) -> str:
    value = msgspec.json.decode(text or '""')
    return value if isinstance(value, str) else text or ""


def _listed(message: Row) -> contract.Listed:
    return contract.Listed(
        id=message.id,
        run_id=message.run_id,
        number=message.number,
        name=message.name,
        data=Json(message.data.encode()),
        asked=bool(message.asked),
        state=message.state,
        sent_by=message.sent_by or None,
        created_at=to_datetime(message.created_at),
        taken_at=to_datetime(message.taken_at) if message.taken_at is not None else None,
        taken_by=message.taken_by,
        answered_at=to_datetime(message.answered_at) if message.answered_at is not None else None,
    )
