"""What happens: one method for each operation of the feature."""

from collections.abc import Callable
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.json import NULL, Json, json_text
from ironflow.base.operation import Operation
from ironflow.base.overlap import check_overlap
from ironflow.base.run_keys import RunKeyHeld
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.events import contract as events
from ironflow.features.events.contract import EventTooLarge
from ironflow.features.functions import in_tx as functions
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.keys.in_tx import held_text
from ironflow.features.schedules import contract, rules, store
from ironflow.features.schedules.loops import tick_of
from ironflow.features.schedules.rules import BackfillRow, ScheduleRow
from ironflow.features.ticks import in_tx as ticks
from ironflow.features.ticks.in_tx import TickStarter
from ironflow.storage.port import Database, Tx

RUNNING_MAX = 100
_TIMES = ("at", "starts_at", "ends_at")
_ABOUT = ("id", "expected_version", "clear")


class Schedules:
    """The schedules feature. input_bytes_max: the largest input accepted."""

    def __init__(self, db: Database, ids: Ids, starter: TickStarter, input_bytes_max: int) -> None:
        self._db = db
        self._ids = ids
        self._starter = starter
        self._input_bytes_max = input_bytes_max

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.change: self.change,
            contract.delete: self.delete,
            contract.pause: self.pause,
            contract.resume: self.resume,
            contract.trigger: self.trigger,
            contract.backfill: self.backfill,
            contract.list_ticks: self.list_ticks,
        }

    async def create(self, call: Call, request: contract.CreateSchedule) -> contract.Schedule:
        call.require(events.invoke.scope)
        row = ScheduleRow(
            environment=call.environment,
            id=request.id,
            version=1,
            function_id=request.function_id,
            input=self._input(request.input),
            cron=request.cron.strip(),
            timezone=request.timezone,
            every_ms=request.every_ms,
            at=_millis(request.at),
            jitter_ms=request.jitter_ms,
            starts_at=_millis(request.starts_at),
            ends_at=_millis(request.ends_at),
            catch_up_ms=request.catch_up_ms,
            overlap=request.overlap or "all",
            description=request.description,
            status="paused" if request.paused else "active",
            next_at=None,
            due_at=None,
            last_at=None,
            last_run_id="",
            started=0,
            skipped=0,
            missed=0,
            created_at=call.now,
            updated_at=call.now,
        )
        rules.check_schedule(row)
        schedule = _with_next_tick(row, call.now)

        def change(tx: Tx) -> contract.Schedule:
            _check_function(tx, schedule)
            if not store.insert(tx, schedule):
                raise contract.ScheduleExists(
                    f"Schedule {schedule.id!r} exists already in environment {call.environment!r}. "
                    "Change it, or delete it first."
                )
            _note(tx, call, contract.create, request, "schedule.created", schedule)
            return _message(schedule)

        return await self._db.write(change)

    async def list_(self, call: Call, request: contract.ListSchedules) -> contract.Schedules:
        found = await self._db.read(
            lambda tx: store.schedules_after(
                tx, call.environment, request.function_id, request.status, request.cursor, request.limit
            )
        )
        more = found[-1].id if len(found) == request.limit else None
        return contract.Schedules(schedules=[_message(each) for each in found], count=len(found), next_cursor=more)

    async def get(self, call: Call, request: contract.NamedSchedule) -> contract.Schedule:
        return await self._db.read(lambda tx: _shown(tx, _schedule(tx, call, request.id)))

    async def change(self, call: Call, request: contract.ChangeSchedule) -> contract.Schedule:
        call.require(events.invoke.scope)
        given = {name: value for name, value in msgspec.structs.asdict(request).items() if value is not None}
        fields = {name: value for name, value in given.items() if name not in _ABOUT}
        fields |= {name: to_millis(fields[name]) for name in _TIMES if name in fields}
        if request.input is not None:
            fields["input"] = self._input(request.input)

        def decide(schedule: ScheduleRow) -> ScheduleRow:
            rules.check_version(schedule, request.expected_version)
            changed = rules.changed(schedule, fields, request.clear)
            rules.check_schedule(changed)
            if not rules.has_same_ticks(changed, schedule):
                changed = _with_next_tick(changed, call.now)
            return changed._replace(version=schedule.version + 1)

        return await self._change(call, contract.change, request, "schedule.changed", decide)

    async def pause(self, call: Call, request: contract.NamedSchedule) -> contract.Schedule:
        def decide(schedule: ScheduleRow) -> ScheduleRow:
            return schedule._replace(status="paused")

        def also(tx: Tx) -> None:
            ticks.drop(tx, call.environment, ticks.schedule_owner(request.id))

        return await self._change(call, contract.pause, request, "schedule.paused", decide, also)

    async def resume(self, call: Call, request: contract.NamedSchedule) -> contract.Schedule:
        call.require(events.invoke.scope)

        def decide(schedule: ScheduleRow) -> ScheduleRow:
            if schedule.status != "paused":
                return schedule
            return rules.decide_next(schedule._replace(status="active"), call.now)

        return await self._change(call, contract.resume, request, "schedule.resumed", decide)

    async def delete(self, call: Call, request: contract.NamedSchedule) -> None:
        def change(tx: Tx) -> None:
            schedule = _schedule(tx, call, request.id, to_change=True)
            for each in store.backfills(tx, call.environment, schedule.id):
                store.delete_backfill(tx, each)
                ticks.forget(tx, call.environment, ticks.backfill_owner(schedule.id, each.id))
            ticks.forget(tx, call.environment, ticks.schedule_owner(schedule.id))
            store.delete(tx, call.environment, schedule.id)
            _note(tx, call, contract.delete, request, "schedule.deleted", schedule)

        await self._db.write(change)

    async def trigger(self, call: Call, request: contract.NamedSchedule) -> contract.Triggered:
        call.require(events.invoke.scope)

        def change(tx: Tx) -> contract.Triggered:
            schedule = _schedule(tx, call, request.id, to_change=True)
            tracked = schedule.overlap != "all"
            tick = tick_of(schedule, call.now)
            (outcome,) = self._starter.start(tx, [(tick, "all")], call.now, tracked=tracked)
            if outcome.held_by:
                raise RunKeyHeld(held_text(schedule.function_id, outcome.key, outcome.held_by))
            if not outcome.run_id:
                _check_function(tx, schedule)
                raise FunctionNotActive(f"Function {schedule.function_id!r} is not active. Set its status first.")
            store.save_ticked(tx, schedule._replace(last_run_id=outcome.run_id, started=schedule.started + 1))
            _note(tx, call, contract.trigger, request, "schedule.triggered", schedule, run_id=outcome.run_id)
            return contract.Triggered(run_id=outcome.run_id)

        return await self._db.write(change)

    async def backfill(self, call: Call, request: contract.BackfillSchedule) -> contract.Backfill:
        call.require(events.invoke.scope)
        since, until = to_millis(request.since), to_millis(request.until)
        overlap = check_overlap(request.overlap)
        if overlap not in ("all", "one"):
            raise contract.InvalidSchedule(f"The overlap of a backfill is all or one, and not {overlap}.")
        if until <= since or until > call.now:
            raise contract.InvalidSchedule(
                "A backfill has a range in the past: until is later than since, and not in the future."
            )

        def change(tx: Tx) -> contract.Backfill:
            schedule = _schedule(tx, call, request.id, to_change=True)
            under_way = len(store.backfills(tx, call.environment, schedule.id))
            if under_way >= rules.BACKFILLS_MAX:
                raise contract.TooManyBackfills(
                    f"Schedule {schedule.id!r} has {under_way} backfills under way, as many as it may. Wait for one."
                )
            first = rules.tick_after(schedule, since)
            if first is None or first > until:
                raise contract.InvalidSchedule(f"Schedule {schedule.id!r} has no tick in that range.")
            backfill = BackfillRow(
                environment=call.environment,
                schedule_id=schedule.id,
                id=self._ids.new("fill"),
                next_at=first,
                until_at=until,
                overlap=overlap,
                started=0,
                created_at=call.now,
            )
            store.add_backfill(tx, backfill)
            _note(tx, call, contract.backfill, request, "schedule.backfilled", schedule, backfill_id=backfill.id)
            return _backfill_message(backfill)

        return await self._db.write(change)

    async def list_ticks(self, call: Call, request: contract.ListTicks) -> contract.Ticks:
        since = to_millis(request.since) if request.since is not None else call.now

        def read(tx: Tx) -> contract.Ticks:
            schedule = _schedule(tx, call, request.id)
            found = rules.ticks_between(schedule, since, _millis(request.until), request.limit + 1)
            ticks = [to_datetime(each) for each in found[: request.limit]]
            return contract.Ticks(ticks=ticks, more=len(found) > request.limit)

        return await self._db.read(read)

    async def _change(
        self,
        call: Call,
        operation: Operation[Any, Any],
        request: contract.ChangeSchedule | contract.NamedSchedule,
        event_type: str,
        decide: Callable[[ScheduleRow], ScheduleRow],
        also: Callable[[Tx], None] = lambda _: None,
    ) -> contract.Schedule:
        def change(tx: Tx) -> contract.Schedule:
            known = _schedule(tx, call, request.id, to_change=True)
            schedule = decide(known)
            if schedule.function_id != known.function_id:
                _check_function(tx, schedule)
            if schedule != known:
                schedule = schedule._replace(updated_at=call.now)
                store.save(tx, schedule)
                also(tx)
                _note(tx, call, operation, request, event_type, schedule)
            return _shown(tx, schedule)

        return await self._db.write(change)

    def _input(self, given: Json | None) -> str:
        """The input as JSON text. Raises EventTooLarge."""
        if given is not None and len(bytes(given)) > self._input_bytes_max:
            raise EventTooLarge(
                f"The input is {len(bytes(given))} bytes; this server accepts {self._input_bytes_max}. "
                "Store it elsewhere and send a reference, or raise the server's limit."
            )
        return json_text(given) or "null"


def _with_next_tick(schedule: ScheduleRow, now: Millis) -> ScheduleRow:
    """Raises InvalidSchedule when there is none."""
    fresh = rules.decide_next(schedule, now)
    if fresh.next_at is None:
        raise contract.InvalidSchedule(
            f"Schedule {schedule.id!r} would never start a run: it has no tick later than now"
            + (" and until ends_at." if schedule.ends_at is not None else ".")
        )
    return fresh


def _check_function(tx: Tx, schedule: ScheduleRow) -> None:
    function = functions.function(tx, schedule.environment, schedule.function_id)
    if function is None or function.status == "deleted":
        raise FunctionNotFound(
            f"There is no function {schedule.function_id!r} in environment {schedule.environment!r}. "
            "Register it, or start the worker that does.",
            function_id=schedule.function_id,
        )


def _schedule(tx: Tx, call: Call, schedule_id: str, *, to_change: bool = False) -> ScheduleRow:
    schedule = store.schedule(tx, call.environment, schedule_id, to_change=to_change)
    if schedule is None:
        raise contract.ScheduleNotFound(
            f"There is no schedule {schedule_id[:80]!r} in environment {call.environment!r}."
        )
    return schedule


def _note(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    event_type: str,
    schedule: ScheduleRow,
    **details: Any,
) -> None:
    summary = f"schedule {schedule.id!r} of function {schedule.function_id!r}, version {schedule.version}"
    about = {"schedule": schedule.id, "version": schedule.version, **details}
    audit_notes.record(tx, call, operation, request, event_type, summary, function_id=schedule.function_id, **about)


def _shown(tx: Tx, schedule: ScheduleRow) -> contract.Schedule:
    owner = ticks.schedule_owner(schedule.id)
    kept = ticks.kept(tx, schedule.environment, owner)
    message = _message(schedule)
    message.running = ticks.open_runs(tx, schedule.environment, owner, RUNNING_MAX)
    message.kept_at = to_datetime(kept.tick_at) if kept is not None else None
    message.backfills = [_backfill_message(each) for each in store.backfills(tx, schedule.environment, schedule.id)]
    return message


def _message(schedule: ScheduleRow) -> contract.Schedule:
    times = ("at", "starts_at", "ends_at", "next_at", "due_at", "last_at", "created_at", "updated_at")
    fields: dict[str, Any] = {**schedule._asdict(), "input": Json(schedule.input.encode()) if schedule.input else NULL}
    fields |= {name: to_datetime(fields[name]) for name in times if fields[name] is not None}
    del fields["environment"]
    return contract.Schedule(**fields)


def _backfill_message(backfill: BackfillRow) -> contract.Backfill:
    return contract.Backfill(
        id=backfill.id,
        next_at=to_datetime(backfill.next_at),
        until=to_datetime(backfill.until_at),
        overlap=backfill.overlap,
        started=backfill.started,
        created_at=to_datetime(backfill.created_at),
    )


def _millis(at: Any) -> Millis | None:
    return to_millis(at) if at is not None else None
