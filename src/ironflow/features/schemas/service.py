"""What happens: one method for each operation of the feature."""

import logging
from collections.abc import Iterator
from typing import Any

from ironflow.base.call import Call
from ironflow.base.json import Json
from ironflow.base.operation import Operation
from ironflow.base.pattern import is_pattern, matches
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.schemas import contract, rules, store
from ironflow.features.schemas.compiled import Compiled
from ironflow.features.schemas.rules import SchemaRow
from ironflow.log.read import head
from ironflow.log.record import Record
from ironflow.log.scan import Filter, scan_back
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

LIMIT_DEFAULT = 100
DEPARTURES_MAX = 20
# Events that are read at a time, and in all: those of other versions are looked at, too.
PIECE = 200
LOOKED_AT_MAX = 10_000


class EventSchemas:
    """The schemas of events, by name and version."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.register: self.register,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.delete: self.delete,
            contract.test_upcast: self.test_upcast,
            contract.upcast: self.upcast,
            contract.check_events: self.check_events,
        }

    async def register(self, call: Call, request: contract.RegisterSchema) -> contract.Registered:
        rules.check_schema_names(request.event_name, request.description)
        # Before the transaction, which others wait for; a check of events compiles it again, once.
        Compiled(rules.check_schema_text(request.schema_json))
        place = (call.environment, request.event_name, request.version)

        def change(tx: Tx) -> tuple[SchemaRow, bool]:
            before = store.schema(tx, place, to_change=True)
            row = SchemaRow(
                *place,
                schema_json=request.schema_json,
                digest=rules.digest_of(request.schema_json),
                description=request.description or (before.description if before else ""),
                created_at=before.created_at if before else call.now,
                updated_at=call.now,
            )
            store.save(tx, row)
            _note(tx, call, contract.register, request, "schema.registered")
            return row, before is None

        row, created = await self._db.write(change)
        self._log("schema registered", call, row.event_name, row.version, request.change_reason)
        return contract.Registered(
            status="created" if created else "updated",
            event_name=row.event_name,
            version=row.version,
            schema=Json(row.schema_json.encode()),
            schema_json=row.schema_json,
            description=row.description,
            created_at=to_datetime(row.created_at),
            updated_at=to_datetime(row.updated_at),
        )

    async def list_(self, call: Call, request: contract.ListSchemas) -> contract.Schemas:
        after = rules.cursor_of(request.cursor)
        limit = request.limit or LIMIT_DEFAULT

        def look(tx: Tx) -> contract.Schemas:
            wanted = [request.event_name] if request.event_name else None
            if is_pattern(request.event_name):
                wanted = [name for name in store.names(tx, call.environment) if matches(request.event_name, name)]
            found = store.page(tx, call.environment, wanted, after, limit + 1, request.offset)
            page = found[:limit]
            more = rules.cursor_text(page[-1].event_name, page[-1].version) if len(found) > limit else None
            return contract.Schemas(
                schemas=[contract.SchemaInfo(**_fields(row)) for row in page],
                total_count=store.count(tx, call.environment, wanted),
                next_cursor=more,
            )

        return await self._db.read(look)

    async def get(self, call: Call, request: contract.GetSchema) -> contract.Schema:
        place = (call.environment, request.event_name, request.version)
        row = await self._db.peek(lambda tx: store.schema(tx, place))
        if row is None:
            raise _not_found(call, request.event_name, request.version)
        return contract.Schema(**_fields(row))

    async def delete(self, call: Call, request: contract.DeleteSchema) -> None:
        place = (call.environment, request.event_name, request.version)

        def change(tx: Tx) -> None:
            if not store.delete(tx, place):
                raise _not_found(call, request.event_name, request.version)
            _note(tx, call, contract.delete, request, "schema.deleted")

        await self._db.write(change)
        self._log("schema deleted", call, request.event_name, request.version, request.change_reason)

    async def test_upcast(self, call: Call, request: contract.TestUpcast) -> contract.Upcasted:
        steps = range(request.from_version + 1, request.to_version + 1)[: rules.UPCAST_STEPS_MAX]

        def look(tx: Tx) -> list[contract.UpcastStep]:
            found = (store.schema(tx, (call.environment, request.event_name, version)) for version in steps)
            return [rules.upcast_step(version, row is not None) for version, row in zip(steps, found, strict=True)]

        applied = await self._db.read(look) if steps else []
        return contract.Upcasted(data=request.data, steps_applied=applied)

    async def upcast(self, call: Call, request: contract.TestUpcast) -> contract.UpcastTried:
        done = await self.test_upcast(call, request)
        return contract.UpcastTried(success=True, data=done.data)

    async def check_events(self, call: Call, request: contract.CheckEvents) -> contract.EventsChecked:
        call.require("events:read")
        text = request.schema_json or await self._text(call, request)
        compiled = Compiled(rules.check_schema_text(text))

        def look(tx: Tx) -> contract.EventsChecked:
            checked = fit = 0
            departures: list[contract.Departure] = []
            for looked_at, record in enumerate(_newest(tx, call.environment, request.event_name)):
                if checked == request.limit or looked_at == LOOKED_AT_MAX:
                    return contract.EventsChecked(checked=checked, fit=fit, departures=departures, more=True)
                if request.of_version not in (0, record.version):
                    continue
                checked += 1
                violations = compiled.violations(record.data)
                if not violations:
                    fit += 1
                elif len(departures) < DEPARTURES_MAX:
                    fault = violations[0]
                    departures.append(
                        contract.Departure(
                            event_id=record.id, version=record.version, path=fault.path, reason=fault.reason
                        )
                    )
            return contract.EventsChecked(checked=checked, fit=fit, departures=departures, more=False)

        return await self._db.read(look)

    async def _text(self, call: Call, request: contract.CheckEvents) -> str:
        wanted = contract.GetSchema(event_name=request.event_name, version=request.version)
        return (await self.get(call, wanted)).schema_json

    def _log(self, what: str, call: Call, event_name: str, version: int, reason: str) -> None:
        fields = {"environment": call.environment, "event_name": event_name, "version": version}
        logger.info(what, extra={**fields, "actor": call.principal.name, "reason": reason})


def _newest(tx: Tx, environment: str, event_name: str) -> Iterator[Record]:
    """The events of a name, the newest first; no more than a piece of them is in memory."""
    wanted = Filter(environment, names=(event_name,))
    until = head(tx)
    while until > 0:
        page = scan_back(tx, wanted, 0, until, PIECE)
        yield from page.items
        until = page.reached - 1


def _note(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: contract.RegisterSchema | contract.DeleteSchema,
    event_type: str,
) -> None:
    name, version, reason = request.event_name, request.version, request.change_reason
    summary = f"schema of {name!r}, version {version}: {event_type.partition('.')[2]}"
    about = {"event_name": name, "version": version, "reason": reason or None}
    audit_notes.record(tx, call, operation, request, event_type, summary, **about)


def _fields(row: SchemaRow) -> dict[str, Any]:
    return {
        "event_name": row.event_name,
        "version": row.version,
        "description": row.description,
        "created_at": to_datetime(row.created_at),
        "schema_json": row.schema_json,
        "environment_id": row.environment,
        "schema": Json(row.schema_json.encode()),
        "updated_at": to_datetime(row.updated_at),
    }


def _not_found(call: Call, event_name: str, version: int) -> contract.SchemaNotFound:
    which = f"version {version} of event {event_name!r}" if version else f"event {event_name!r}"
    return contract.SchemaNotFound(f"There is no schema of {which} in environment {call.environment!r}.")
