"""SQL projections on both databases: creation, application, questions, failures, rebuilds."""

from typing import Any

import msgspec
import pytest

from ironflow.base.operation import Operation
from ironflow.base.pattern import InvalidPattern
from ironflow.base.sqltext import InvalidSql
from ironflow.features.events import contract as events
from ironflow.features.sql_projections import contract as sql
from ironflow.features.sql_projections.rules import RETRY_DELAYS_MS
from ironflow.storage.sandbox import PlaceMissing
from tests.support.work import Work

TABLE = "CREATE TABLE proj_orders (customer TEXT PRIMARY KEY, orders BIGINT NOT NULL, total BIGINT NOT NULL)"
PLACED = """INSERT INTO proj_orders (customer, orders, total) VALUES (:data.customer, 1, :data.amount)
ON CONFLICT (customer) DO UPDATE SET orders = proj_orders.orders + 1, total = proj_orders.total + excluded.total"""
REFUNDED = "UPDATE proj_orders SET total = total - :data.amount WHERE customer = :data.customer"
ORDERS: dict[str, Any] = {
    "name": "orders",
    "table_sql": f"{TABLE}; CREATE INDEX proj_orders_by_total ON proj_orders (total)",
    "event_handlers": {"order.placed": PLACED, "order.refunded": REFUNDED},
}


async def place(server: Work, customer: Any, amount: Any, name: str = "order.placed", env: str = "default") -> str:
    emitted = await server.call(events.emit, event=name, data={"customer": customer, "amount": amount}, env=env)
    return emitted.event_id


async def follow(server: Work) -> None:
    await server.loop("sql-projections")


async def rows(server: Work, name: str = "orders", env: str = "default", **more: Any) -> list[list[Any]]:
    found = await server.call(sql.query, name=name, env=env, **{"order_by": "1", **more})
    return [[msgspec.json.decode(cell) for cell in row.typed_values] for row in found.rows]


async def status(server: Work, name: str = "orders") -> str:
    return (await server.call(sql.get, name=name)).status


async def test_events_before_and_after_the_creation_are_applied_in_order(server: Work):
    await place(server, "ann", 10)
    created = await server.call(sql.create, **ORDERS)
    await follow(server)
    await place(server, "bob", 2)
    await place(server, "ann", 5)
    await place(server, "ann", 1, "order.refunded")
    await place(server, "ann", 1000, "order.unknown")
    await follow(server)

    assert (created.name, created.status) == ("orders", "created")
    assert await rows(server) == [["ann", 2, 14], ["bob", 1, 2]]
    found = await server.call(sql.get, name="orders")
    assert (found.status, found.last_event_seq, found.lag) == ("active", 5, 0)


async def test_a_question_has_conditions_an_order_a_page_and_the_number_of_all(server: Work):
    await server.call(sql.create, **ORDERS)
    for customer, amount in [("ann", 1), ("bob", 2), ("cid", 3), ("dan", 4)]:
        await place(server, customer, amount)
    await follow(server)

    found = await server.call(
        sql.query, name="orders", where="total > 1 -- not ann", order_by="total DESC", limit=2, offset=1
    )

    assert (found.columns, found.total_count) == (["customer", "orders", "total"], 3)
    assert [row.values for row in found.rows] == [["cid", "1", "3"], ["bob", "1", "2"]]


@pytest.mark.parametrize(
    ("where", "order_by"),
    [
        ("1 = 1) OR (1 = 1", ""),
        ("1 = 1 UNION SELECT 1, 2, 3", ""),
        ("customer IN (SELECT key FROM kv_entries)", ""),
        ("customer IN (SELECT event_id FROM ironflow_cursor)", ""),
        ("pg_sleep(1) IS NULL", ""),
        ("", "total; DROP TABLE proj_orders"),
        ("", "total LIMIT 1"),
        ("customer = 'x", ""),
        ("no_such_column = 1", ""),
    ],
)
async def test_a_question_is_nothing_but_a_question(server: Work, where: str, order_by: str):
    await server.call(sql.create, **ORDERS)

    with pytest.raises(InvalidSql):
        await server.call(sql.query, name="orders", where=where, order_by=order_by)


async def test_typed_values_follow_the_columns_and_texts_are_kept_as_they_are(server: Work):
    await server.call(
        sql.create,
        name="kinds",
        table_sql="CREATE TABLE proj_kinds (id TEXT, n BIGINT, big BIGINT, exact NUMERIC(9, 2), yes BOOLEAN, doc JSON)",
        event_handlers={
            "kind": """INSERT INTO proj_kinds VALUES
                (:event_id, :data.n, :data.big, :data.exact, :data.yes, :data.doc)"""
        },
    )
    data = {"n": 7, "big": 2**60, "exact": 12.5, "yes": True, "doc": {"a": [1, "é"]}}
    emitted = await server.call(events.emit, event="kind", data=data)
    await server.call(events.emit, event="kind", data={})
    await follow(server)

    exact = "12.50" if server.db.name == "postgres" else "12.5"
    first, second = await rows(server, "kinds")
    assert first == [emitted.event_id, 7, str(2**60), exact, True, {"a": [1, "é"]}]
    assert second[1:] == [None] * 5


async def test_what_an_event_carries_can_be_bound(server: Work):
    columns = "event_name, event_version, seq, timestamp_ms, source, namespace, environment, entity_type, entity_id"
    names = columns.split(", ")
    await server.call(
        sql.create,
        name="facts",
        table_sql=f"CREATE TABLE proj_facts ({', '.join(f'{name} TEXT' for name in names)}, at TEXT, note TEXT)",
        event_handlers={"fact": f"INSERT INTO proj_facts VALUES (:{', :'.join(names)}, :timestamp, :metadata.a.b)"},
    )
    await server.call(events.emit, event="fact", data=5, version=3, metadata={"a": {"b": "x'; DROP TABLE proj_facts"}})
    await follow(server)

    (found,) = await rows(server, "facts")
    assert found[:4] == ["fact", "3", "1", str(server.now)]
    assert found[5:9] == ["default", "default", None, None]
    assert found[9:] == ["2026-01-01T00:00:00.000Z", "x'; DROP TABLE proj_facts"]


async def test_patterns_are_followed_and_the_most_exact_handler_is_taken(server: Work):
    def insert(name: str) -> str:
        return f"INSERT INTO proj_seen VALUES (:seq, '{name}')"

    await server.call(
        sql.create,
        name="seen",
        table_sql="CREATE TABLE proj_seen (seq BIGINT, name TEXT)",
        event_handlers={"order.>": insert("all"), "order.*": insert("one"), "order.placed": insert("exact")},
    )
    for name in ["order.placed", "order.shipped", "order.item.added", "invoice.sent"]:
        await place(server, "x", 1, name)
    await follow(server)

    assert [name for _, name in await rows(server, "seen")] == ["exact", "one", "all"]


async def test_environments_do_not_see_each_other(server: Work):
    await server.call(sql.create, **ORDERS)
    await server.call(sql.create, env="staging", **ORDERS)
    await place(server, "ann", 1)
    await place(server, "bob", 2, env="staging")
    await follow(server)

    assert await rows(server) == [["ann", 1, 1]]
    assert await rows(server, env="staging") == [["bob", 1, 2]]


async def test_a_statement_that_fails_is_tried_again_and_then_stops_the_projection_at_its_event(server: Work):
    await server.call(sql.create, **ORDERS)
    await place(server, "ann", 1)
    bad = await place(server, "bob", None)
    await place(server, "bob", 2)
    await follow(server)

    assert await status(server) == "active"
    for delay in RETRY_DELAYS_MS:
        server.move(delay)
        await follow(server)

    stopped = await server.call(sql.get, name="orders")
    assert (stopped.status, stopped.failed_seq, stopped.last_event_seq) == ("error", 2, 1)
    assert stopped.error_message is not None
    assert bad in stopped.error_message
    assert await rows(server) == [["ann", 1, 1]]


async def test_after_a_repair_it_goes_on_at_the_event_that_failed(server: Work):
    await server.call(sql.create, **ORDERS)
    await place(server, "bob", None)
    await place(server, "bob", 2)
    for delay in (0, *RETRY_DELAYS_MS):
        server.move(delay)
        await follow(server)
    repaired = PLACED.replace(":data.amount", "coalesce(CAST(:data.amount AS BIGINT), 0)")

    changed = await server.call(sql.create, **{**ORDERS, "event_handlers": {"order.placed": repaired}})
    await follow(server)

    assert changed.status == "updated"
    assert await rows(server) == [["bob", 2, 2]]
    assert await status(server) == "active"


async def test_a_paused_projection_applies_nothing_and_a_resumed_one_goes_on(server: Work):
    await server.call(sql.create, **ORDERS)
    await place(server, "ann", 1)
    await follow(server)
    assert (await server.call(sql.pause, name="orders")).status == "paused"
    await place(server, "ann", 2)
    await follow(server)
    assert (await status(server), await rows(server)) == ("paused", [["ann", 1, 1]])

    assert (await server.call(sql.resume, name="orders")).status == "active"
    await follow(server)

    assert await rows(server) == [["ann", 2, 3]]


async def test_readers_keep_the_old_rows_until_a_rebuild_has_caught_up(server: Work):
    await server.call(sql.create, **ORDERS)
    for number in range(5):
        await place(server, "ann", number)
    await follow(server)
    doubled = PLACED.replace("1, :data.amount", "1, 2 * CAST(:data.amount AS BIGINT)")
    await server.call(sql.create, **{**ORDERS, "event_handlers": {"order.placed": doubled}})
    await place(server, "ann", 100)

    started = await server.call(sql.rebuild, name="orders")

    assert (started.status, started.target) == ("rebuilding", 6)
    found = await server.call(sql.get, name="orders")
    assert (found.status, found.rebuild and found.rebuild.progress) == ("rebuilding", 0.0)
    assert await rows(server) == [["ann", 5, 10]]
    await follow(server)
    assert (await status(server), await rows(server)) == ("active", [["ann", 6, 220]])
    assert len(await server.inside.sandbox.places()) == 1


async def test_other_tables_are_filled_anew_and_taken_over_when_they_are_full(server: Work):
    await server.call(sql.create, **ORDERS)
    await place(server, "ann", 1)
    await follow(server)
    other = {
        "name": "orders",
        "table_sql": "CREATE TABLE proj_amounts (amount BIGINT)",
        "event_handlers": {"order.placed": "INSERT INTO proj_amounts VALUES (:data.amount)"},
    }

    assert (await server.call(sql.create, **other)).status == "rebuilding"
    assert await rows(server) == [["ann", 1, 1]]
    await follow(server)

    assert await rows(server) == [[1]]
    assert (await server.call(sql.create, **other)).status == "unchanged"
    assert (await server.call(sql.create, **{**ORDERS, "name": "free-again"})).status == "created"


async def test_a_cancelled_rebuild_leaves_the_rows_as_they_are(server: Work):
    await server.call(sql.create, **ORDERS)
    await place(server, "ann", 1)
    await follow(server)
    await server.call(sql.rebuild, name="orders")

    assert (await server.call(sql.cancel_rebuild, name="orders")).status == "active"

    await follow(server)
    assert await rows(server) == [["ann", 1, 1]]
    with pytest.raises(sql.NoRebuild):
        await server.call(sql.cancel_rebuild, name="orders")


async def test_a_dry_run_changes_nothing(server: Work):
    await server.call(sql.create, **ORDERS)
    await place(server, "ann", 1)

    assert (await server.call(sql.rebuild, name="orders", dry_run=True)).status == "dry_run_ok"
    assert await status(server) == "active"


async def test_a_deleted_projection_is_deleted_with_its_tables(server: Work):
    await server.call(sql.create, **ORDERS)
    await server.call(sql.delete, name="orders")

    assert await server.inside.sandbox.places() == []
    operations: list[Operation[Any, Any]] = [sql.get, sql.query, sql.delete, sql.rebuild, sql.pause, sql.resume]
    for operation in operations:
        with pytest.raises(sql.SqlProjectionNotFound, match="projection not found"):
            await server.call(operation, name="orders")
    await server.call(sql.create, **ORDERS)


async def test_a_table_belongs_to_one_projection_of_its_environment(server: Work):
    await server.call(sql.create, **ORDERS)

    with pytest.raises(sql.TableTaken, match="proj_orders"):
        await server.call(sql.create, **{**ORDERS, "name": "orders-2"})

    assert [each.name for each in (await server.call(sql.list_)).projections] == ["orders"]


async def test_a_projection_whose_tables_are_lost_is_filled_again(server: Work):
    await server.call(sql.create, **ORDERS)
    await place(server, "ann", 1)
    await follow(server)
    (there,) = await server.inside.sandbox.places()
    await server.inside.sandbox.drop(there)

    await place(server, "ann", 2)
    await follow(server)
    await follow(server)

    assert await rows(server) == [["ann", 2, 3]]
    assert await status(server) == "active"


async def test_a_projection_in_error_whose_tables_are_lost_is_filled_again_when_it_is_read(server: Work):
    await server.call(sql.create, **ORDERS)
    await place(server, "ann", 1)
    await place(server, "bob", None)
    for delay in (0, *RETRY_DELAYS_MS):
        server.move(delay)
        await follow(server)
    (there,) = await server.inside.sandbox.places()
    await server.inside.sandbox.drop(there)

    with pytest.raises(PlaceMissing):
        await rows(server)
    await follow(server)

    assert await rows(server) == [["ann", 1, 1]]


async def test_what_a_killed_server_left_is_swept(server: Work):
    await server.call(sql.create, **ORDERS)
    kept = await server.inside.sandbox.places()
    await server.inside.sandbox.make("left_over_1", ["CREATE TABLE proj_x (a BIGINT)"], [])

    (swept,) = await server.loop("sql-projections-sweep")

    assert (swept.done["removed"], await server.inside.sandbox.places()) == (1, kept)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a b"},
        {"name": ""},
        {"events": ["invoice.sent"]},
        {"table_sql": "CREATE TABLE orders (a BIGINT)"},
        {"table_sql": ""},
        {"table_sql": "CREATE TABLE proj_orders (customer TEXT, customer TEXT)"},
        {"event_handlers": {"order.placed": "INSERT INTO proj_other VALUES (1)"}},
        {"event_handlers": {"order.placed": "INSERT INTO proj_orders VALUES (:amount, 1, 1)"}},
        {"event_handlers": {"order.placed": "INSERT INTO proj_orders (nothing) VALUES (1)"}},
        {"event_handlers": {"order.placed": "SELECT 1"}},
        {"event_handlers": {"order.>.x": PLACED}},
    ],
)
async def test_what_cannot_be_applied_is_refused_and_leaves_nothing(server: Work, change: dict[str, Any]):
    with pytest.raises((sql.InvalidSqlProjection, InvalidSql, InvalidPattern)):
        await server.call(sql.create, **{**ORDERS, **change})

    assert (await server.call(sql.list_)).projections == []
    assert await server.inside.sandbox.places() == []


async def test_a_projection_without_handlers_is_accepted_and_has_no_rows(server: Work):
    created = await server.call(sql.create, name="orders", table_sql=TABLE, events=["order.placed"])
    await place(server, "ann", 10)
    await follow(server)

    assert created.status == "created"
    assert await rows(server) == []
    assert await status(server) == "active"
