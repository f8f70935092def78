"""Ad hoc SQL on both databases: what can be read, how answers look, and what they are limited by."""

from typing import Any

import msgspec
import pytest

from ironflow.base.sqltext import InvalidSql
from ironflow.features.events import contract as events
from ironflow.features.query import contract as query
from ironflow.features.sql_projections import contract as sql
from ironflow.features.streams import contract as streams
from ironflow.storage.sandbox import QueryTooLarge, QueryTooSlow
from tests.support.work import Work

FOR_EVER = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT count(*) FROM t"


async def ask(server: Work, text: str, env: str = "default", **more: Any) -> list[Any]:
    return [msgspec.json.decode(row) for row in (await server.call(query.execute, env=env, query=text, **more)).rows]


async def test_events_are_read_with_their_data(server: Work):
    for number in (1, 2, 3):
        await server.call(events.emit, event="order.placed", data={"id": number, "tags": ["a"]})
    await server.call(events.emit, event="order.placed", data={"id": 9}, env="staging")

    found = await ask(server, "SELECT seq, name, data ->> 'id' AS id FROM events WHERE seq > 1 ORDER BY seq DESC")

    assert [[seq, name, str(id)] for seq, name, id in found] == [[3, "order.placed", "3"], [2, "order.placed", "2"]]


async def test_an_answer_has_columns_types_and_shows_when_there_is_more(server: Work):
    for number in range(5):
        await server.call(events.emit, event="e", data=number)

    found = await server.call(query.execute, query="SELECT seq, name FROM events ORDER BY seq -- all", max_rows=2)

    assert (found.columns, found.total_rows, found.truncated) == (["seq", "name"], 2, True)
    assert found.types in (["integer", "text"], ["int8", "text"], ["integer primary key", "text"])
    assert [bytes(row) for row in found.rows] == [b'[1,"e"]', b'[2,"e"]']
    empty = await server.call(query.execute, query="SELECT id, created_at FROM events WHERE seq > 99")
    assert (empty.columns, empty.rows, empty.truncated) == (["id", "created_at"], [], False)


async def test_runs_steps_and_functions_are_read_as_clients_name_them(server: Work):
    await server.a_function("order", on="order.placed")
    (run,) = (await server.emit("order.placed")).run_ids

    assert await ask(server, "SELECT id, status, event_name FROM runs") == [[run, "pending", "order.placed"]]
    assert await ask(
        server, "SELECT f.id, count(r.id) FROM functions f LEFT JOIN runs r ON r.function_id = f.id GROUP BY 1"
    ) == [["order", 1]]
    assert await ask(server, "SELECT * FROM steps") == []


async def test_streams_and_projections_are_read_and_joined(server: Work):
    await server.call(
        sql.create,
        name="totals",
        table_sql="CREATE TABLE proj_totals (id TEXT PRIMARY KEY, total BIGINT)",
        event_handlers={"added": "INSERT INTO proj_totals VALUES (:entity_id, :data.amount)"},
    )
    await server.call(streams.append, entity_id="o-1", entity_type="order", event_name="added", data={"amount": 5})
    await server.loop("sql-projections")

    joined = "SELECT s.entity_id, s.version, t.total FROM streams s JOIN proj_totals t ON t.id = s.entity_id"
    assert await ask(server, joined) == [["o-1", 1, 5]]
    assert await ask(server, "SELECT name, mode, last_event_seq FROM projections") == [["totals", "sql", 1]]


async def test_another_environment_is_not_there(server: Work):
    await server.call(
        sql.create, env="staging", name="t", table_sql="CREATE TABLE proj_t (a TEXT)",
        event_handlers={"e": "INSERT INTO proj_t VALUES (:event_id)"},
    )  # fmt: skip
    await server.call(events.emit, event="e", env="staging")
    await server.loop("sql-projections")

    for view in ("events", "runs", "steps", "streams", "functions", "projections"):
        assert await ask(server, f"SELECT count(*) FROM {view}") == [[0]]
    assert await ask(server, "SELECT count(*) FROM proj_t", env="staging") == [[1]]
    with pytest.raises(InvalidSql, match="proj_t"):
        await ask(server, "SELECT * FROM proj_t")


async def test_the_list_of_tables_names_every_column(server: Work):
    await server.call(
        sql.create, name="t", table_sql="CREATE TABLE proj_t (a TEXT, b BIGINT)",
        event_handlers={"e": "INSERT INTO proj_t VALUES (:event_id, 1)"},
    )  # fmt: skip

    found = {
        table.name: [column.name for column in table.columns] for table in (await server.call(query.tables)).tables
    }

    assert set(found) == {"events", "runs", "steps", "streams", "functions", "projections", "proj_t"}
    assert found["proj_t"] == ["a", "b"]
    assert {"seq", "id", "name", "data"} <= set(found["events"])


async def test_a_query_without_end_is_ended(server: Work):
    with pytest.raises(QueryTooSlow, match="200 ms"):
        await ask(server, FOR_EVER, timeout_ms=200)
    assert await ask(server, "SELECT 1") == [[1]]


async def test_a_text_that_doubles_itself_does_not_fill_the_memory(server: Work):
    doubling = "WITH RECURSIVE t(x) AS (SELECT 'aaaaaaaa' UNION ALL SELECT x || x FROM t) SELECT max(x) FROM t"
    with pytest.raises((QueryTooLarge, QueryTooSlow, InvalidSql)):
        await ask(server, doubling, timeout_ms=1000)
    found = await server.call(query.execute, query=doubling.replace("max(x)", "x"), timeout_ms=5000)
    assert found.truncated
    assert sum(len(bytes(row)) for row in found.rows) <= 16 * 1024 * 1024


async def test_integers_decimals_and_bytes_come_exact(server: Work):
    found = await ask(server, "SELECT 9007199254740993, 1.5, 'é', NULL, CAST(7 AS BIGINT)")

    assert found in ([["9007199254740993", 1.5, "é", None, 7]], [["9007199254740993", "1.5", "é", None, 7]])


async def test_over_http_it_is_a_post_of_the_query(server: Work):
    await server.call(events.emit, event="e", data={"a": 1})
    async with server.http() as http:
        found = await http.post("/api/v1/sql", json={"query": "SELECT name FROM events"})
        refused = await http.post("/api/v1/sql", json={"query": "DROP TABLE events"})

    assert (found.status_code, found.json()["rows"]) == (200, [["e"]])
    assert (refused.status_code, refused.json()["reason"]) == (400, "INVALID_SQL")
