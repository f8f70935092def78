"""Two tenants of one server: the victim has something of every kind, and the other asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import msgspec.inspect as shapes

from ironflow.base.call import Call, Credentials
from ironflow.base.operation import Operation
from ironflow.base.spelling import reader
from ironflow.features.environment_deletions.rules import CHILDREN
from ironflow.features.sessions.service import Sessions
from ironflow.storage.port import Tx
from tests.structure.contracts import all_operations
from tests.support.keys import Guarded

OPERATIONS = {each.name: each for each in all_operations()}
# Is in every payload of the victim, and in nothing that another tenant sends.
MARK = "of-the-victim-alone"
# How far each has followed the log, which all environments share.
PROGRESS = {"sql_generations": {"position", "updated_at"}}
SHAPE = '{"type":"object","description":"of-the-victim-alone"}'


@dataclass(frozen=True)
class Party:
    """An administrator of one environment."""

    guarded: Guarded
    environment: str
    key: str

    async def call(self) -> Call:
        made = await self.guarded.part(Sessions)(Credentials(authorization=f"Bearer {self.key}"))
        return msgspec.structs.replace(made, authorise=self.guarded.dispatch.authorise)

    async def ask(self, operation: Operation[Any, Any] | str, fields: Mapping[str, Any]) -> Any:
        """The answer as plain data. Raises what the operation raises."""
        found = OPERATIONS[operation] if isinstance(operation, str) else operation
        message = reader(found.request).read(msgspec.json.encode(fields))
        answer = await self.guarded.dispatch(found, await self.call(), message)
        return plain(answer)


def plain(answer: Any) -> Any:
    """A message as plain data."""
    return msgspec.json.decode(msgspec.json.encode(answer))


async def a_party(guarded: Guarded, environment: str) -> Party:
    await guarded.an_environment(environment)
    return Party(guarded, environment, (await guarded.a_key("role_admin", env=environment))["key"])


async def fill(victim: Party) -> dict[str, list[str]]:
    """Something of every kind in the victim's environment; by field of requests, what names it."""
    ask = victim.ask
    marked = {"x": MARK}
    await ask("secrets.create", {"name": "VICTIM_SECRET", "value": "victim-secret-value", "description": MARK})
    config = {"secrets": ["VICTIM_SECRET"], "recording": True}
    triggers = [{"event": "victim.placed"}]
    await ask("functions.register", {"id": "victim-fn", "name": MARK, "triggers": triggers, **config})
    debounce = {"period_ms": 60_000, "key": "event.data.x"}
    quiet = {"id": "victim-quiet", "triggers": [{"event": "victim.quiet"}], "debounce": debounce}
    await ask("functions.register", quiet)
    worker = {"worker": "victim-worker", "function_ids": ["victim-fn"], "max_concurrent_jobs": 10}
    await ask("jobs.register_worker", {**worker, "hostname": MARK})
    runs: list[str] = []
    events: list[str] = []
    for _ in range(3):
        emitted = await ask("events.emit", {"event": "victim.placed", "data": marked})
        runs += emitted["run_ids"]
        events.append(emitted["event_id"])
    await ask("events.emit", {"event": "victim.quiet", "data": marked})
    polled = await ask("jobs.poll", {"worker": "victim-worker", "available": 2, "acked": True, "wait": 0})
    first, second = polled["jobs"]
    step = {"id": f"{first['run_id']}:charge:0", "name": "charge", "type": "invoke", "status": "completed"}
    report = {"worker": "victim-worker", "job": first["job_id"], "execution_seq": first["execution_seq"]}
    ended = {"status": "completed", "output": marked, "steps": [{**step, "output": marked, "duration_ms": 1}]}
    line = {"number": 0, "level": "info", "message": MARK, "at": "2026-01-01T00:00:00Z"}
    more = {
        "lease_token": first["lease_token"],
        "logs": [line],
        "values": [{"name": "victim-value", "value": MARK, "number": 1}],
    }
    await ask("jobs.update", {**report, **more, **ended})
    await ask("controls.pause", {"run_id": runs[2], "reason": MARK})
    sent = await ask("messages.send", {"run_id": second["run_id"], "name": "victim-message", "data": marked})
    await ask("kv.create_bucket", {"name": "victim-bucket", "description": MARK})
    await ask("kv.put", {"bucket": "victim-bucket", "key": "victim-key", "value": "b2YtdGhlLXZpY3RpbS1hbG9uZQ=="})
    await ask("config.set", {"name": "victim-config", "data": marked})
    await ask("schemas.register", {"event_name": "victim.placed", "version": 1, "schema_json": SHAPE})
    projection = {"name": "victim-projection", "mode": "managed", "events": ["victim.*"]}
    await ask("projections.register", projection)
    handlers = {"victim.placed": "INSERT INTO proj_victims (id) VALUES (:event_id)"}
    table = {
        "name": "proj_victims",
        "table_sql": "CREATE TABLE proj_victims (id TEXT PRIMARY KEY)",
        "event_handlers": handlers,
    }
    await ask("sql_projections.create", {**table, "description": MARK})
    await ask("consumer_groups.create", {"name": "victim-group", "pattern": "victim.>", "metadata": marked})
    await ask("pubsub.publish", {"topic": "victim-topic", "data": marked})
    stream = {"entity_id": "victim-entity", "entity_type": "cart", "event_name": "victim.added", "data": marked}
    await ask("streams.append", {**stream, "expected_version": -1})
    await ask("streams.create_snapshot", {"entity_id": "victim-entity", "entity_version": 1, "state": marked})
    await ask("schedules.create", {"id": "victim-schedule", "function_id": "victim-fn", "every_ms": 3_600_000})
    source = await ask("webhooks.create", {"name": "victim-source", "preset": "github", "verify_secret": MARK})
    key = await ask("api_keys.create", {"name": MARK})
    await ask("api_keys.create", {"name": MARK})
    await ask("bulk.start", {"action": "cancel", "function_id": "victim-quiet"})
    await victim.guarded.loops()
    bulks = await ask("bulk.list", {})
    debounces = await ask("debounces.list", {})
    cursors = await _cursors(victim)
    names = [
        "VICTIM_SECRET", "victim-config", "victim-bucket", "victim-projection", "proj_victims", "victim-group",
        "victim-value", "victim-message", victim.environment,
    ]  # fmt: skip
    ids = [
        *runs, *events, "victim-fn", "victim-schedule", source["id"], key["id"], sent["id"], "victim-quiet",
        *(each["id"] for each in bulks["jobs"]), *(each["id"] for each in debounces["entries"]), victim.environment,
    ]  # fmt: skip
    return {
        "id": ids,
        "name": names,
        "run_id": runs,
        "parent_run_id": runs,
        "worker": ["victim-worker"],
        "consumer_id": ["victim-worker"],
        "job": [first["job_id"], second["job_id"]],
        "execution_seq": [str(second["execution_seq"])],
        "lease_token": [second["lease_token"]],
        "function_id": ["victim-fn", "victim-quiet"],
        "function_ids": ["victim-fn"],
        "bucket": ["victim-bucket"],
        "key": ["victim-key", "victim-entity"],
        "entity": ["cart"],
        "entity_id": ["victim-entity"],
        "entity_type": ["cart"],
        "event": ["victim.placed"],
        "event_name": ["victim.placed"],
        "event_id": events,
        "event_ids": events,
        "last_event_id": events,
        "pattern": ["victim.>", ">", "system.>", "*"],
        "search": ["of-the-victim", "victim"],
        "q": ["of-the-victim", "victim"],
        "topic": ["victim-topic"],
        "step_id": [step["id"]],
        "step_name": ["charge"],
        "group": ["victim-group"],
        "group_name": ["victim-group"],
        "projection": ["victim-projection"],
        "endpoint": ["https://victim.example"],
        "message_id": [sent["id"]],
        "subject": [key["id"], f"env:{victim.environment}", f"key:{key['id']}"],
        "env_id": [victim.environment],
        "environment": [victim.environment],
        "env": [victim.environment],
        "source": [source["id"]],
        "source_id": [source["id"]],
        "secret": ["VICTIM_SECRET"],
        "api_key_id": [key["id"]],
        "query": ["SELECT * FROM events", "SELECT * FROM runs", "SELECT * FROM steps", "SELECT * FROM proj_victims"],
        "cursor": cursors,
    }  # fmt: skip


async def _cursors(victim: Party) -> list[str]:
    """The cursors that the victim's lists are gone on with."""
    found: list[str] = []
    for operation in OPERATIONS.values():
        fields = {each.name for each in shapes.type_info(operation.request).fields}  # pyright: ignore[reportAttributeAccessIssue]
        if operation.streaming == "unary" and {"limit", "cursor"} <= fields and not required(operation):
            paged = {"paged": True} if "paged" in fields else {}
            try:
                answer = await victim.ask(operation, {"limit": 1, **paged})
            except Exception:  # noqa: BLE001
                continue
            found += [answer["next_cursor"]] if answer.get("next_cursor") else []
    return found


def required(operation: Operation[Any, Any]) -> list[shapes.Field]:
    return [each for each in shapes.type_info(operation.request).fields if each.required]  # pyright: ignore[reportAttributeAccessIssue]


def requests(operation: Operation[Any, Any], known: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Requests that name what is known: one for each name of each field that can have one, with and without the fields
    that are not required."""
    fields: tuple[shapes.Field, ...] = shapes.type_info(operation.request).fields  # pyright: ignore[reportAttributeAccessIssue]
    named = [each for each in fields if each.name in known]
    variants = max([len(known[each.name]) for each in named], default=1)
    made: list[dict[str, Any]] = []
    for number in range(variants):

        def chosen(name: str, number: int = number) -> str:
            values = known.get(name, ["x"])
            return values[number % len(values)]

        least = {each.name: _value(each.type, each.name, chosen) for each in fields if each.required}
        made.append(least)
        optional = [each for each in named if not each.required]
        made += [{**least, each.name: _value(each.type, each.name, chosen)} for each in optional]
    return [{**each, **_HASTE} if operation.holds else each for each in made]


# Nothing is waited for.
_HASTE = {"wait": 0, "wait_ms": 0, "timeout_ms": 1, "timeout": "1ms"}


def _value(kind: Any, name: str, chosen: Any) -> Any:
    match kind:
        case shapes.Metadata():
            return _value(kind.type, name, chosen)
        case shapes.StrType():
            return chosen(name)
        case shapes.UnionType():
            return _value(next(each for each in kind.types if not isinstance(each, shapes.NoneType)), name, chosen)
        case shapes.ListType():
            return [_value(kind.item_type, name, chosen)]
        case shapes.StructType():
            return {each.encode_name: _value(each.type, each.name, chosen) for each in kind.fields if each.required}
        case shapes.EnumType():
            return next(iter(kind.cls)).value
        case shapes.LiteralType():
            return kind.values[0]
        case shapes.BoolType():
            return True
        case shapes.IntType() | shapes.FloatType():
            return int(chosen(name)) if chosen(name).isdigit() else 1
        case shapes.DateTimeType():
            return "2026-01-01T00:00:00Z"
        case shapes.BytesType():
            return "eA=="
        case _:
            return {}


def rows_of(tx: Tx, environment: str, columns: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Every row of an environment, by table: those that carry it, and those of children of such rows."""
    found: dict[str, list[str]] = {}
    for table, names in columns.items():
        if "environment" in names:
            shown = ", ".join(sorted(names - PROGRESS.get(table, set())))
            rows = tx.rows(f"SELECT {shown} FROM {table} WHERE environment = :e", {"e": environment})
            found[table] = sorted(map(repr, rows))
    for parent, children in CHILDREN.items():
        for child in children:
            parents = f"SELECT {child.parent_column} FROM {parent} WHERE environment = :e"
            rows = tx.rows(f"SELECT * FROM {child.table} WHERE {child.column} IN ({parents})", {"e": environment})
            found[f"{child.table} of {parent}"] = sorted(map(repr, rows))
    return found


def columns_of(tx: Tx, *, is_postgres: bool) -> dict[str, set[str]]:
    sqlite = """SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"""
    postgres = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    found: dict[str, set[str]] = {}
    for table, column in tx.rows(postgres if is_postgres else sqlite):
        found.setdefault(table, set()).add(column)
    return found
