"""What happens: one method for each operation of the feature."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.errors import ResourceExhausted
from ironflow.base.json import Json
from ironflow.base.progress import remaining_ms, share
from ironflow.base.sql import check_fragments
from ironflow.base.time import Millis, to_datetime
from ironflow.features.projections.contract import RebuildUnderWay
from ironflow.features.projections.in_tx import moved
from ironflow.features.projections.in_tx import projection as other_projection
from ironflow.features.sql_projections import contract, rules, store
from ironflow.features.sql_projections.applying import Applier
from ironflow.features.sql_projections.rules import Created, Definition, Generation, Projection
from ironflow.log.read import head
from ironflow.storage.port import Database, Tx
from ironflow.storage.sandbox import PlaceMissing, Question, Sandbox, Source

QUERY_MS = 5_000
ANSWER_BYTES_MAX = 16 * 1024 * 1024
LIMIT = 100


class SqlProjections:
    """Tables kept up to date by statements of users."""

    def __init__(self, db: Database, sandbox: Sandbox, applier: Applier) -> None:
        self._db = db
        self._sandbox = sandbox
        self._applier = applier

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.query: self.query,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.delete: self.delete,
            contract.rebuild: self.rebuild,
            contract.cancel_rebuild: self.cancel_rebuild,
            contract.pause: self.pause,
            contract.resume: self.resume,
        }

    async def create(self, call: Call, request: contract.CreateSqlProjection) -> contract.SqlProjectionCreated:
        # Parsing is slow enough to be noticed by others.
        definition = await asyncio.to_thread(rules.check_definition, request, self._sandbox.dialect)
        await self._try_out(definition)

        def change(tx: Tx) -> tuple[Created, str | None, Generation | None]:
            found = store.projection(tx, call.environment, request.name, to_write=True)
            before = (found.building or found.serving).definition if found else None
            same = found is not None and found.description == request.description
            created = rules.decide_creation(before, definition, same)
            if created == "unchanged":
                return created, None, None
            if found is None and other_projection(tx, call.environment, request.name) is not None:
                raise contract.ProjectionNameTaken(f"{request.name!r} is a projection that a program runs.")
            taken = store.take_tables(tx, call.environment, request.name, definition.table_names)
            if taken:
                table, owner = next(iter(taken.items()))
                raise contract.TableTaken(f"Table {table} is one of projection {owner!r}. Choose another name.")
            after, unused = _created(found, call, request, definition, created, head(tx))
            store.save(tx, after)
            tx.notify("log")
            new = (after.building or after.serving) if created in ("created", "rebuilding") else None
            return created, unused, new

        created, unused, new = await self._db.write(change)
        await self._drop(unused)
        if new is not None:
            # The loop would make it too, a moment later.
            await self._applier.make(new.place, new.definition)
        return contract.SqlProjectionCreated(name=request.name, status=created)

    async def query(self, call: Call, request: contract.QuerySqlProjection) -> contract.SqlRows:
        found = await self._db.peek(lambda tx: _found(tx, call.environment, request.name))
        table = found.serving.definition.table_names[0]
        condition, order = await asyncio.to_thread(
            check_fragments, table, request.where, request.order_by, self._sandbox.dialect
        )
        where = f"{table} WHERE ({condition}\n)" if condition else table
        rows = f"SELECT * FROM {where}" + (f" ORDER BY {order}" if order else "")
        limit = request.limit or LIMIT
        queries = [f"{rows} LIMIT {limit} OFFSET {request.offset}", f"SELECT count(*) FROM {where}"]
        try:
            answer, count = await self._ask(queries, {table: Source(table, found.serving.place)}, limit)
        except PlaceMissing:
            # A rebuild may have taken the tables away between the look and the question.
            again = await self._db.peek(lambda tx: _found(tx, call.environment, request.name))
            if again.serving.place == found.serving.place:
                # Lost: filled again by the loop, also where it stands at an error.
                await self._change(
                    call, request.name, lambda lost: replace(lost, serving=store.fresh(lost.serving, call.now))
                )
                raise
            answer, count = await self._ask(queries, {table: Source(table, again.serving.place)}, limit)
        if answer.truncated:
            raise ResourceExhausted(
                f"The rows are larger than {ANSWER_BYTES_MAX} bytes. Ask for fewer with limit.", retryable=False
            )
        return contract.SqlRows(
            columns=answer.columns,
            rows=[contract.SqlRow(values=[cell_text(cell) for cell in row], typed_values=row) for row in answer.rows],
            total_count=msgspec.json.decode(count.rows[0][0]),
        )

    async def list_(self, call: Call, request: contract.ListSqlProjections) -> contract.SqlProjections:
        def look(tx: Tx) -> contract.SqlProjections:
            found = store.projections_after(tx, call.environment, request.cursor, request.limit)
            end = head(tx)
            return contract.SqlProjections(
                projections=[contract.SqlProjection(**_facts(each, end, call.now)) for each in found],
                count=len(found),
                next_cursor=found[-1].name if len(found) == request.limit else None,
            )

        return await self._db.read(look)

    async def get(self, call: Call, request: contract.NamedSqlProjection) -> contract.SqlProjectionDetails:
        def look(tx: Tx) -> contract.SqlProjectionDetails:
            found = _found(tx, call.environment, request.name)
            definition = (found.building or found.serving).definition
            return contract.SqlProjectionDetails(
                **_facts(found, head(tx), call.now), table_sql=definition.table_sql, event_handlers=definition.handlers
            )

        return await self._db.read(look)

    async def delete(self, call: Call, request: contract.NamedSqlProjection) -> contract.SqlProjectionStatus:
        def change(tx: Tx) -> Projection:
            found = _found(tx, call.environment, request.name, to_write=True)
            store.delete(tx, found)
            moved(tx, call.environment, request.name)
            return found

        found = await self._db.write(change)
        await self._drop(found.serving.place)
        await self._drop(found.building.place if found.building else None)
        return contract.SqlProjectionStatus(status="deleted")

    async def rebuild(self, call: Call, request: contract.RebuildSqlProjection) -> contract.SqlRebuildStarted:
        def change(tx: Tx) -> tuple[int, str | None]:
            found = _found(tx, call.environment, request.name, to_write=True)
            target = head(tx)
            if request.dry_run:
                return target, None
            if found.building is not None:
                raise RebuildUnderWay(f"Projection {request.name!r} is being rebuilt. Wait for it, or cancel it.")
            definition = (found.building or found.serving).definition
            after, unused = _rebuilding(found, definition, target, call.now)
            store.save(tx, after)
            tx.notify("log")
            return target, unused

        target, unused = await self._db.write(change)
        await self._drop(unused)
        status = "dry_run_ok" if request.dry_run else "rebuilding"
        return contract.SqlRebuildStarted(name=request.name, status=status, target=target)

    async def cancel_rebuild(self, call: Call, request: contract.NamedSqlProjection) -> contract.SqlProjectionStatus:
        def change(tx: Tx) -> tuple[Projection, str]:
            found = _found(tx, call.environment, request.name, to_write=True)
            if found.building is None:
                raise contract.NoRebuild(f"Projection {request.name!r} is not being rebuilt.")
            after = replace(found, building=None, updated_at=call.now)
            store.free_tables(tx, call.environment, request.name)
            store.take_tables(tx, call.environment, request.name, found.serving.definition.table_names)
            store.save(tx, after)
            return after, found.building.place

        after, unused = await self._db.write(change)
        await self._drop(unused)
        return contract.SqlProjectionStatus(status=rules.status_of(after))

    async def pause(self, call: Call, request: contract.NamedSqlProjection) -> contract.SqlProjectionStatus:
        return await self._change(call, request.name, lambda found: replace(found, paused=True, updated_at=call.now))

    async def resume(self, call: Call, request: contract.NamedSqlProjection) -> contract.SqlProjectionStatus:
        def go_on(found: Projection) -> Projection:
            building = store.fresh(found.building, call.now) if found.building else None
            serving = store.fresh(found.serving, call.now)
            return replace(found, paused=False, serving=serving, building=building, updated_at=call.now)

        return await self._change(call, request.name, go_on)

    async def _change(self, call: Call, name: str, change: Any) -> contract.SqlProjectionStatus:
        def save(tx: Tx) -> Projection:
            after: Projection = change(_found(tx, call.environment, name, to_write=True))
            store.save(tx, after)
            tx.notify("log")
            moved(tx, call.environment, name)
            return after

        return contract.SqlProjectionStatus(status=rules.status_of(await self._db.write(save)))

    async def _try_out(self, definition: Definition) -> None:
        """Lets the database itself read the SQL, in a place that is unused afterwards. Raises QueryRefused."""
        place = f"try_{secrets.token_hex(8)}"
        try:
            await self._applier.make(place, definition)
        finally:
            await self._sandbox.drop(place)

    async def _ask(self, queries: list[str], sources: dict[str, Source], rows_max: int) -> Any:
        question = Question(queries, sources, timeout_ms=QUERY_MS, rows_max=rows_max, bytes_max=ANSWER_BYTES_MAX)
        return await self._sandbox.ask(question)

    async def _drop(self, place: str | None) -> None:
        if place is not None:
            self._applier.forget(place)
            await self._sandbox.drop(place)


def cell_text(cell: Json) -> str:
    """A JSON cell as text: a text itself, nothing for null, else as JSON writes it."""
    text = bytes(cell)
    if text[:1] == b'"':
        return msgspec.json.decode(text)
    return "" if text == b"null" else text.decode()


def _found(tx: Tx, environment: str, name: str, *, to_write: bool = False) -> Projection:
    found = store.projection(tx, environment, name, to_write=to_write)
    if found is None:
        raise contract.SqlProjectionNotFound(
            f"projection not found: there is no SQL projection {name!r} in environment {environment!r}."
        )
    return found


def _created(
    found: Projection | None,
    call: Call,
    request: contract.CreateSqlProjection,
    definition: Definition,
    created: Created,
    end: int,
) -> tuple[Projection, str | None]:
    """The projection after its creation, and the place to drop, None for none."""
    if found is None:
        first = _generation(call.environment, request.name, 1, definition, 0, call.now)
        made = Projection(
            call.environment, request.name, request.description, first, None, 1, False, call.now, call.now
        )  # fmt: skip
        return made, None
    found = replace(found, description=request.description, updated_at=call.now)
    if created == "rebuilding":
        return _rebuilding(found, definition, end, call.now)
    if found.building is not None:
        return replace(found, building=store.fresh(replace(found.building, definition=definition), call.now)), None
    return replace(found, serving=store.fresh(replace(found.serving, definition=definition), call.now)), None


def _rebuilding(found: Projection, definition: Definition, target: int, now: Millis) -> tuple[Projection, str | None]:
    number = found.last_generation + 1
    building = _generation(found.environment, found.name, number, definition, target, now)
    unused = found.building.place if found.building else None
    return replace(found, building=building, last_generation=number, updated_at=now), unused


def _generation(
    environment: str, name: str, number: int, definition: Definition, target: int, now: Millis
) -> Generation:
    place = rules.place_of(environment, name, number)
    return Generation(environment, name, number, place, definition, 0, target, now, now)


def _facts(found: Projection, end: int, now: Millis) -> dict[str, Any]:
    """The fields of a SqlProjection. end: the last position of the log."""
    serving, building = found.serving, found.building
    worked_on = building or serving
    faulty = next((each for each in (building, serving) if each is not None and each.error), None)
    status = rules.status_of(found)
    return {
        "name": found.name,
        "description": found.description or None,
        "status": status,
        "tables": list(serving.definition.table_names),
        "events": list(worked_on.definition.events),
        "last_event_seq": serving.position,
        "generation": worked_on.generation,
        "lag": max(end - serving.position, 0),
        "error_message": faulty.error if faulty else None,
        "failed_seq": faulty.failed_position if faulty else None,
        "rebuild": _rebuild_message(worked_on, now) if building or status == "rebuilding" else None,
        "created_at": to_datetime(found.created_at),
        "updated_at": to_datetime(max(found.updated_at, serving.updated_at)),
    }


def _rebuild_message(worked_on: Generation, now: Millis) -> contract.SqlRebuild:
    done, target = worked_on.position, worked_on.target
    return contract.SqlRebuild(
        progress=share(done, target),
        position=done,
        target=target,
        started_at=to_datetime(worked_on.started_at),
        eta_ms=remaining_ms(now - worked_on.started_at, done, target),
    )
