"""What happens: emitting, waiting for what was started, and reading what was emitted."""

from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.entity_streams import KEY_CHARS_MAX, is_key
from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.base.ids import Ids
from ironflow.base.json import NULL, Json
from ironflow.base.paging import number_of
from ironflow.base.run_keys import check_if_running, check_key
from ironflow.base.spelling import reader
from ironflow.base.time import to_datetime, to_millis
from ironflow.features.events import contract, rules, store
from ironflow.features.events.emitting import Answer, Emission, Emitter
from ironflow.features.events.importing import StreamEnds, bring_in, imported_records
from ironflow.features.events.searching import Found, search
from ironflow.features.runs.contract import WireError
from ironflow.features.runs.in_tx import INVOKED, RunRepository
from ironflow.features.runs.service import Runs
from ironflow.log.read import head, records
from ironflow.log.record import Record
from ironflow.log.scan import Filter
from ironflow.storage.port import Database, Tx

WAIT_MS_DEFAULT = 30_000
WAIT_MS_MAX = 600_000
BATCH_MAX = 1_000
NAMES_SCAN_MAX = 10_000
NAMES_POSITIONS_MAX = 1_000_000
# A client that waits exactly as long as it asks us to wait must get our answer before it gives up.
ANSWER_EARLY_MS = 300


class Events:
    """The events feature. data_bytes_max: the largest event data accepted."""

    def __init__(self, db: Database, emitter: Emitter, runs: Runs, ids: Ids, data_bytes_max: int) -> None:
        self._db = db
        self._emitter_apply = emitter.apply
        self.stream_ends = StreamEnds()
        self._runs = runs
        self._ids = ids
        self._data_bytes_max = data_bytes_max

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.emit: self.emit,
            contract.emit_namespaced: self.emit_namespaced,
            contract.emit_sync: self.emit_sync,
            contract.emit_batch: self.emit_batch,
            contract.invoke: self.invoke,
            contract.invoke_sync: self.invoke_sync,
            contract.import_: self.import_,
            contract.get: self.get,
            contract.list_: self.list_,
            contract.names: self.names,
        }

    async def emit(self, call: Call, request: contract.Emit) -> contract.Emitted:
        answer = await self._apply(Emission(self._record(call, request), call.now))
        return _emitted(answer)

    async def emit_namespaced(self, call: Call, request: contract.NamespacedEmit) -> contract.NamespacedEmitted:
        answer = await self._apply(Emission(self._record(call, request), call.now))
        return contract.NamespacedEmitted(run_ids=answer.run_ids, event_id=answer.event_id)

    async def emit_sync(self, call: Call, request: contract.EmitSync) -> contract.SyncResults:
        record = self._record(call, request)
        answer = await self._apply(Emission(record, call.now, waited_for=True))
        fresh = not answer.duplicate
        results = await self._runs.wait(answer.run_ids, wait_ms(request.timeout_ms), fresh=fresh)
        return contract.SyncResults(results=results, event_id=answer.event_id)

    async def emit_batch(self, call: Call, request: contract.EmitBatch) -> contract.BatchEmitted:
        if len(request.events) > BATCH_MAX:
            raise contract.InvalidEvent(f"The batch has {len(request.events)} events; {BATCH_MAX} is the limit.")
        prepared: list[Emission | IronflowError] = []
        for item in request.events:
            try:
                prepared.append(Emission(self._record(call, reader(contract.Emit).read(item)), call.now))
            except IronflowError as refusal:
                prepared.append(refusal)
        if request.atomic:
            _check_none_refused(prepared)
        valid = [each for each in prepared if isinstance(each, Emission)]

        # One transaction for the whole batch: a storage failure fails all of it.
        def change(tx: Tx) -> list[Answer | IronflowError]:
            answers = self._emitter_apply(tx, valid)
            if request.atomic:
                _check_none_refused(answers)
            return answers

        stored = iter(await self._db.write(change) if valid else ())
        results = [each if isinstance(each, IronflowError) else next(stored) for each in prepared]
        return contract.BatchEmitted(results=[_batch_item(each) for each in results])

    async def invoke(self, call: Call, request: contract.Invoke) -> contract.Invoked:
        answer = await self._invoke(call, request, None)
        return contract.Invoked(
            run_id=answer.run_ids[0],
            event_id=answer.event_id,
            duplicate=answer.duplicate or None,
            payload_differs=answer.payload_differs or None,
            existing=answer.existing or None,
        )

    async def invoke_sync(self, call: Call, request: contract.InvokeSync) -> contract.SyncResult:
        answer = await self._invoke(call, request, request.metadata)
        timeout_ms = wait_ms(request.timeout_ms)
        if request.idempotency_key or request.detached or request.key:
            results = await self._runs.wait(answer.run_ids, timeout_ms)
        else:
            results = await self._runs.wait_or_cancel(answer.run_ids, timeout_ms, call)
        return contract.SyncResult(result=results[0])

    async def import_(self, call: Call, request: contract.ImportEvents) -> contract.Imported:
        if len(request.events) > BATCH_MAX:
            raise contract.InvalidEvent(f"The batch has {len(request.events)} events; {BATCH_MAX} is the limit.")
        records = imported_records(call, request.events, self._data_bytes_max)

        def change(tx: Tx) -> contract.Imported:
            return bring_in(tx, self._emitter_apply if request.trigger else None, records, call, self.stream_ends)

        return await self._db.write(change) if records else contract.Imported(imported=0, known=0)

    async def get(self, call: Call, request: contract.GetEvent) -> contract.EventWithRuns:
        def look(tx: Tx) -> contract.EventWithRuns:
            found = records(tx, [request.id]).get(request.id)
            if found is None or found.environment != call.environment:
                raise contract.EventNotFound(f"There is no event {request.id!r} in environment {call.environment!r}.")
            started = RunRepository.started_by(tx, [request.id]).get(request.id, [])
            fields = msgspec.structs.asdict(event_message(found))
            return contract.EventWithRuns(**fields, run_ids=[run.id for run in started])

        return await self._db.peek(look)

    async def list_(self, call: Call, request: contract.ListEvents) -> contract.Events:
        if request.cursor and request.before:
            raise InvalidArgument("cursor and before exclude each other: one goes back in time, the other forward.")
        backward = not request.before
        start = number_of(request.cursor, 2**62) if backward else number_of(request.before)
        wanted = tuple(name for name in [request.name, *request.names] if name)

        def look(tx: Tx) -> Found:
            filters = Filter(
                environment=call.environment,
                names=wanted,
                source=request.source,
                text=request.search,
                since=to_millis(request.since) if request.since else 0,
                until=to_millis(request.until) if request.until else 0,
            )
            return search(tx, filters, start, request.limit, newest_first=backward)

        found = await self._db.read(look)
        page = found.records if backward else found.records[::-1]
        older = found.more if backward else bool(page)
        newer = bool(request.cursor) if backward else found.more
        # A page cut short by its bounds goes on from where it stopped, also when it is empty.
        oldest, newest = (found.looked_to, page) if backward else (page, found.looked_to)
        return contract.Events(
            events=[event_message(record) for record in page],
            count=len(page),
            limit=request.limit,
            has_next=older,
            has_prev=newer,
            next_cursor=_cursor(oldest, -1) if older else None,
            # A client that goes forward may ask again from here for what has not happened yet.
            prev_cursor=_cursor(newest, 0) if newer or not backward else None,
        )

    async def names(self, call: Call, request: contract.ListEventNames) -> contract.EventNames:
        filters = {
            "environment": call.environment,
            "since": to_millis(request.since) if request.since else 0,
            "until": to_millis(request.until) if request.until else 0,
            "source": request.source,
            "limit": NAMES_SCAN_MAX,
        }

        def look(tx: Tx) -> list[str]:
            # Another environment's events may lie between: they are looked at, and not without end.
            return store.recent_names(tx, **filters, after=head(tx) - NAMES_POSITIONS_MAX)

        seen = await self._db.read(look)
        counts: dict[str, int] = {}
        for name in seen:
            counts[name] = counts.get(name, 0) + 1
        return contract.EventNames(
            names=[contract.NameCount(name=name, count=counts[name]) for name in sorted(counts)],
            scan_cap=NAMES_SCAN_MAX,
            scanned=len(seen),
            truncated=len(seen) == NAMES_SCAN_MAX,
        )

    async def _invoke(self, call: Call, asked: contract.Invoke | contract.InvokeSync, metadata: Json | None) -> Answer:
        if not asked.function_id:
            raise contract.FunctionNotFound("The request names no function. Send function_id.")
        if asked.key:
            check_key(asked.key)
        if asked.entity_key and not is_key(asked.entity_key):
            raise contract.InvalidEntity(
                f"{asked.entity_key[:60]!r} is no key of an entity: write 1 to {KEY_CHARS_MAX} characters without "
                "spaces, `*` or `>`."
            )
        if_running = check_if_running(asked.if_running)
        request = contract.Emit(
            event=INVOKED, data=asked.data, metadata=metadata, idempotency_key=asked.idempotency_key
        )
        record = replace(self._record(call, request), kind="invoke", source="invoke")
        return await self._apply(
            Emission(
                record,
                call.now,
                function_id=asked.function_id,
                key=asked.key,
                if_running=if_running,
                entity_key=asked.entity_key,
            )
        )

    def _apply(self, emission: Emission) -> Awaitable[Answer]:
        return self._db.write_many(self._emitter_apply, emission)

    def _record(self, call: Call, request: contract.Emit | contract.NamespacedEmit | contract.EmitSync) -> Record:
        record = rules.record_of(
            event_id=self._ids.new("evt"),
            environment=call.environment,
            name=request.event,
            data=request.data,
            metadata=request.metadata,
            version=request.version,
            namespace=request.namespace or "default",
            idempotency_key=request.idempotency_key,
            run_id=call.run_id,
            emitted_by=call.principal.name,
            data_bytes_max=self._data_bytes_max,
            now=call.now,
            trace=call.trace,
        )
        by_webhook = isinstance(request, contract.Emit) and request.source == rules.WEBHOOK
        return replace(record, source=rules.WEBHOOK) if by_webhook else record


def wait_ms(asked_ms: int) -> int:
    """How long to wait for runs: 30 s unless asked otherwise, at most 10 minutes.

    The default is answered a little early: browsers give up after 30 s themselves.
    """
    whole = min(asked_ms or WAIT_MS_DEFAULT, WAIT_MS_MAX)
    return whole - ANSWER_EARLY_MS if whole == WAIT_MS_DEFAULT else whole


def event_message(record: Record) -> contract.Event:
    at = to_datetime(record.created_at)
    return contract.Event(
        id=record.id,
        name=record.name,
        data=Json(record.data.encode()) if record.data else NULL,
        idempotency_key=record.idempotency_key,
        source=record.source,
        timestamp=at,
        metadata=Json(record.metadata.encode()) if record.metadata else None,
        version=record.version,
        entity_id=record.entity_id,
        entity_type=record.entity_type,
        entity_version=record.entity_version,
        imported_at=to_datetime(record.imported_at) if record.imported_at is not None else None,
        emitted_by=record.emitted_by,
        created_at=at,
        run_id=record.run_id,
        namespace=record.namespace,
        position=record.position,
    )


def _batch_item(result: Answer | IronflowError) -> contract.Emitted:
    if isinstance(result, IronflowError):
        return contract.Emitted(error=WireError(message=result.message, code=result.connect))
    return _emitted(result)


def _emitted(answer: Answer) -> contract.Emitted:
    return contract.Emitted(
        run_ids=answer.run_ids,
        event_id=answer.event_id,
        id=answer.event_id,
        position=answer.position,
        duplicate=answer.duplicate or None,
        payload_differs=answer.payload_differs or None,
        woken_run_ids=list(answer.woken_run_ids) or None,
    )


def _check_none_refused(results: Sequence[object]) -> None:
    """Raises BatchRefused for the first refusal."""
    for index, result in enumerate(results):
        if isinstance(result, IronflowError):
            raise contract.BatchRefused(
                f"Event {index} of the batch is refused, so nothing of it was recorded: {result.message}",
                details={"index": index, "code": result.code},
            )


def _cursor(place: int | list[Record], which: int) -> str | None:
    """The cursor at a position, or at one end of a page; None for an empty page."""
    if isinstance(place, int):
        return str(place)
    return str(place[which].position) if place else None
