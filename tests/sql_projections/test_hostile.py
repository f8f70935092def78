"""Hostile SQL. Each lock is tried by itself: the check of the text, and the database behind it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ironflow.base.sql import check_handler, check_query, check_tables
from ironflow.base.sqltext import DialectName, InvalidSql
from ironflow.features.events import contract as events
from ironflow.features.kv import contract as kv
from ironflow.features.sql_projections import contract as sql
from ironflow.storage.open import open_sandbox
from ironflow.storage.sandbox import Cursor, QueryRefused, Question, Sandbox, Source, Work
from tests.support.server import Server, open_server

DIALECTS: tuple[DialectName, ...] = ("sqlite", "postgres")
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
TABLES = frozenset({"events", "proj_t"})
WITHOUT_END = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT count(*) FROM t"

QUERIES = [
    "",
    ";",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE events",
    "ATTACH '/etc/passwd' AS x",
    "DETACH main",
    "PRAGMA writable_schema = 1",
    "PRAGMA table_info(events)",
    "SELECT * FROM pragma_table_info('events')",
    "SELECT * FROM pragma_database_list",
    "VACUUM INTO '/tmp/copy.db'",
    "REINDEX",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT one",
    "SELECT load_extension('x')",
    "SELECT \"load_extension\"('x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/x', 'y')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('x')",
    "SELECT randomblob(1000000000)",
    "SELECT zeroblob(1000000000)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT sqlite_version()",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM main.events",
    "SELECT * FROM temp.events",
    'SELECT * FROM "main"."kv_entries"',
    "SELECT * FROM kv_entries",
    "SELECT * FROM sql_generations",
    "SELECT * FROM ironflow_cursor",
    "SELECT * FROM events, kv_entries",
    "SELECT * FROM events JOIN kv_entries ON 1 = 1",
    "SELECT * FROM events WHERE id IN (SELECT key FROM kv_entries)",
    "SELECT (SELECT max(value) FROM kv_entries)",
    "SELECT * FROM events UNION SELECT * FROM kv_entries",
    "WITH k AS (SELECT * FROM kv_entries) SELECT * FROM k",
    "WITH events AS (SELECT * FROM main.events) SELECT * FROM events",
    "WITH pg_authid AS (SELECT 1) SELECT * FROM pg_authid",
    "WITH sqlite_master AS (SELECT 1) SELECT * FROM sqlite_master",
    "WITH x AS (INSERT INTO events VALUES (1) RETURNING *) SELECT * FROM x",
    "WITH x AS (DELETE FROM events RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE events SET id = '' RETURNING *) SELECT * FROM x",
    "INSERT INTO events (id) VALUES ('x')",
    "UPDATE events SET data = 'x'",
    "DELETE FROM events",
    "DROP TABLE events",
    "ALTER TABLE events ADD COLUMN x TEXT",
    "TRUNCATE events",
    "CREATE TABLE proj_x (a TEXT)",
    "CREATE TEMP TABLE x AS SELECT * FROM events",
    "SELECT * INTO x FROM events",
    "SELECT * FROM events FOR UPDATE",
    "SELECT * FROM events TABLESAMPLE SYSTEM (10)",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM events",
    "SELECT pg_sleep(100)",
    "SELECT pg_catalog.pg_sleep(100)",
    "SELECT 1 WHERE pg_sleep(1) IS NULL",
    "SELECT * FROM pg_sleep(1)",
    "SELECT * FROM generate_series(1, 1000000000)",
    "SELECT repeat('x', 1000000000)",
    "SELECT lpad('x', 1000000000)",
    "COPY events TO '/tmp/x'",
    "COPY (SELECT 1) TO PROGRAM 'sh'",
    "DO $$ BEGIN PERFORM pg_sleep(1); END $$",
    "CALL x()",
    "EXECUTE x",
    "PREPARE x AS SELECT 1",
    "LISTEN x",
    "NOTIFY x",
    "LOCK TABLE events",
    "SET ROLE postgres",
    "RESET ROLE",
    "SET statement_timeout = 0",
    "SHOW all",
    "GRANT ALL ON events TO public",
    "SELECT set_config('role', 'postgres', false)",
    "SELECT current_setting('data_directory')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_advisory_lock(1)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT dblink('host=x', 'SELECT 1')",
    "SELECT * FROM dblink('host=x', 'SELECT 1') AS t(a TEXT)",
    "SELECT query_to_xml('SELECT * FROM kv_entries', true, true, '')",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM pg_class",
    "SELECT * FROM information_schema.tables",
    "SELECT 'kv_entries'::regclass",
    "SELECT CAST('kv_entries' AS regclass)",
    "SELECT current_user",
    "SELECT session_user",
    "SELECT nextval('x')",
    "SELECT has_table_privilege('events', 'select')",
    "SELECT * FROM events -- '\n; DROP TABLE events",
    "SELECT /* ; */ 1; /* */ SELECT 2",
    "SELECT /* /* */ pg_sleep(1) */ 1",
    "SELECT 'a\\'; DROP TABLE events; --'",
    "SELECT E'\\x41'",
    "SELECT U&'\\0041'",
    "SELECT X'41'",
    "SELECT $$a$$, $x$b$x$",
    "SELECT 'open",
    'SELECT "open',
    "SELECT [events] FROM events",
    "SELECT `id` FROM events",
    "SELECT ? FROM events",
    "SELECT @x, $1 FROM events",
    "SELECT :name FROM events",
    "SELECT " + "(" * 200 + "1" + ")" * 200,
    "SELECT " + "abs(" * 100 + "1" + ")" * 100,
    "SELECT " + ", ".join("1" for _ in range(5000)),
    "SELECT 1 -- " + "x" * 70_000,
    "SELECT \0 1",
    "SELECT 1\u037e",
]
HANDLERS = [
    "SELECT 1",
    "INSERT INTO events (id) VALUES ('x')",
    "INSERT INTO main.proj_t (a) VALUES ('x')",
    "INSERT INTO proj_other (a) VALUES ('x')",
    "INSERT INTO ironflow_cursor VALUES (9, '')",
    "UPDATE ironflow_cursor SET position = 9",
    "UPDATE sqlite_sequence SET seq = 9",
    "DELETE FROM sqlite_master",
    "UPDATE events SET data = '' WHERE id IN (SELECT a FROM proj_t)",
    "INSERT INTO proj_t SELECT data FROM events",
    "INSERT INTO proj_t (a) VALUES ((SELECT max(value) FROM kv_entries))",
    "UPDATE proj_t SET a = pg_sleep(1)",
    "UPDATE proj_t SET a = 1; DELETE FROM proj_t",
    "DROP TABLE proj_t",
    "ALTER TABLE proj_t ADD COLUMN b TEXT",
    "CREATE INDEX x ON proj_t (a)",
    "CREATE TRIGGER x AFTER INSERT ON proj_t BEGIN DELETE FROM proj_t; END",
    "TRUNCATE proj_t",
    "COMMIT",
    "INSERT INTO proj_t (a) VALUES (:secret)",
    "INSERT INTO proj_t (a) VALUES (load_extension(:data.path))",
    "WITH x AS (DELETE FROM events RETURNING id) INSERT INTO proj_t SELECT id FROM x",
    "DELETE FROM proj_t RETURNING a",
    "MERGE INTO proj_t USING events ON 1 = 1 WHEN MATCHED THEN DELETE",
]
CREATIONS = [
    "CREATE TABLE events (a TEXT)",
    "CREATE TABLE main.proj_t (a TEXT)",
    "CREATE TABLE public.proj_t (a TEXT)",
    'CREATE TABLE "PROJ_T" (a TEXT)',
    'CREATE TABLE "proj_t; DROP" (a TEXT)',
    "CREATE TEMP TABLE proj_t (a TEXT)",
    "CREATE UNLOGGED TABLE proj_t (a TEXT)",
    "CREATE TABLE proj_t AS SELECT * FROM kv_entries",
    "CREATE TABLE proj_t (LIKE kv_entries)",
    "CREATE TABLE proj_t (a TEXT) INHERITS (events)",
    "CREATE TABLE proj_t PARTITION OF events DEFAULT",
    "CREATE TABLE proj_t (a TEXT) TABLESPACE x",
    "CREATE TABLE proj_t (a TEXT REFERENCES kv_entries (key))",
    "CREATE TABLE proj_t (a TEXT, FOREIGN KEY (a) REFERENCES kv_entries (key))",
    "CREATE TABLE proj_t (a TEXT DEFAULT (load_extension('x')))",
    "CREATE TABLE proj_t (a TEXT DEFAULT pg_sleep(9))",
    "CREATE TABLE proj_t (a TEXT DEFAULT (SELECT max(value) FROM kv_entries))",
    "CREATE TABLE proj_t (a TEXT CHECK (a IN (SELECT key FROM kv_entries)))",
    "CREATE TABLE proj_t (a TEXT CHECK (pg_sleep(1) IS NULL))",
    "CREATE TABLE proj_t (a TEXT, b TEXT GENERATED ALWAYS AS (load_extension(a)) STORED)",
    "CREATE TABLE proj_t (a TEXT, b TEXT AS (a || 'x'))",
    "CREATE TABLE proj_t (a regclass)",
    "CREATE TABLE proj_t (a TEXT); CREATE INDEX i ON kv_entries (key)",
    "CREATE TABLE proj_t (a TEXT); CREATE INDEX i ON proj_t (load_extension(a))",
    "CREATE TABLE proj_t (a TEXT); CREATE INDEX i ON proj_t (a) WHERE pg_sleep(1) IS NULL",
    "CREATE TABLE proj_t (a TEXT); CREATE VIEW proj_v AS SELECT * FROM kv_entries",
    "CREATE TABLE proj_t (a TEXT); CREATE TRIGGER x AFTER INSERT ON proj_t BEGIN DELETE FROM proj_t; END",
    "CREATE TABLE proj_t (a TEXT); INSERT INTO proj_t VALUES ('x')",
    "CREATE TABLE proj_t (a TEXT); PRAGMA writable_schema = 1",
    "CREATE VIRTUAL TABLE proj_t USING fts5(a)",
    "CREATE FUNCTION f() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION dblink",
    "CREATE SCHEMA proj_s",
    "CREATE ROLE proj_r",
]


@each_dialect
@pytest.mark.parametrize("text", QUERIES, ids=lambda text: text[:50])
def test_a_query_that_is_more_than_a_question_is_refused_by_its_text(text: str, dialect: DialectName):
    with pytest.raises(InvalidSql):
        check_query(text, dialect, TABLES)


@each_dialect
def test_half_a_surrogate_pair_is_named(dialect: DialectName):
    with pytest.raises(InvalidSql, match="half a surrogate pair at 8"):
        check_query("SELECT '\ud800' FROM events", dialect, TABLES)


@each_dialect
@pytest.mark.parametrize("text", HANDLERS)
def test_a_handler_that_does_not_keep_to_its_tables_is_refused_by_its_text(text: str, dialect: DialectName):
    with pytest.raises(InvalidSql):
        check_handler(text, "e", dialect, {"proj_t"}, lambda name: name.startswith("data."))


@each_dialect
@pytest.mark.parametrize("text", CREATIONS)
def test_a_table_that_is_more_than_a_table_is_refused_by_its_text(text: str, dialect: DialectName):
    with pytest.raises(InvalidSql):
        check_tables(text, dialect)


@each_dialect
@pytest.mark.parametrize(
    "text",
    [
        "SELECT ';' || '--' || '/*' || 'DROP TABLE events' FROM events",
        "SELECT id AS \"drop table\" FROM events WHERE name = 'it''s'",
        "SELECT count(*), max(seq) FROM events GROUP BY name HAVING count(*) > 1 ORDER BY 1 DESC LIMIT 5 OFFSET 1",
        "WITH a AS (SELECT id FROM events), b(x) AS (SELECT id FROM a) SELECT x FROM b ORDER BY x",
        "SELECT e.id FROM events e LEFT JOIN proj_t t ON t.a = e.id WHERE t.a IS NULL OR t.a NOT IN ('x', 'y')",
        "SELECT row_number() OVER (PARTITION BY name ORDER BY seq) FROM events",
        "SELECT CASE WHEN seq > 1 THEN 'a' ELSE 'b' END, CAST(seq AS NUMERIC(9, 2)) FROM events; ",
        "SELECT name FROM events UNION ALL SELECT a FROM proj_t EXCEPT SELECT 'x'",
        "SELECT data ->> 'id', coalesce(nullif(trim(name), ''), '-') FROM events -- why not",
    ],
)
def test_honest_queries_pass(text: str, dialect: DialectName):
    check_query(text, dialect, TABLES)


# The database's own lock, without the check of the text before it.


@pytest.fixture
async def sandbox(database_url: str) -> AsyncIterator[Sandbox]:
    async with open_server(Server, database_url) as server:
        await server.call(kv.create_bucket, name="secret")
        await server.call(kv.put, bucket="secret", key="k", value=b"v")
        await server.call(events.emit, event="e", env="staging")
        opened = await open_sandbox(database_url)
        await opened.make("t_1", ["CREATE TABLE proj_t (a TEXT)"], [])
        yield opened
        await opened.drop("t_1")
        await opened.close()


EVENTS = "SELECT id, name FROM {main}events WHERE environment = 'default'"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM kv_entries",
        "SELECT count(*) FROM kv_entries",
        "SELECT * FROM sql_generations",
        "SELECT * FROM ironflow_cursor",
        "SELECT (SELECT max(key) FROM kv_entries)",
        "WITH events AS (SELECT key FROM kv_entries) SELECT * FROM events",
        "SELECT e.environment FROM events e",
        "SELECT * FROM (SELECT key FROM kv_entries) AS events",
        "INSERT INTO events VALUES (1)",
        "DELETE FROM proj_t",
        "UPDATE proj_t SET a = 1",
        "DROP TABLE proj_t",
        "CREATE TABLE x (a TEXT)",
        "SELECT 1; DROP TABLE proj_t",
    ],
)
async def test_the_database_itself_reads_nothing_else_and_writes_nothing(sandbox: Sandbox, text: str):
    sources = {"events": Source(EVENTS), "proj_t": Source("proj_t", "t_1")}
    with pytest.raises(QueryRefused):
        await sandbox.ask(Question([text], sources, timeout_ms=1000, rows_max=10, bytes_max=10_000))

    (found,) = await sandbox.ask(
        Question(["SELECT count(*) FROM events"], sources, timeout_ms=1000, rows_max=10, bytes_max=10_000)
    )
    assert [bytes(cell) for cell in found.rows[0]] == [b"0"]


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE ironflow_cursor SET position = 99",
        "DELETE FROM ironflow_cursor",
        "SELECT load_extension('x')",
        "ATTACH ':memory:' AS x",
        "PRAGMA journal_mode = delete",
        "PRAGMA writable_schema = 1",
        "DROP TABLE proj_t",
        "DELETE FROM sqlite_master",
        "CREATE TABLE proj_u (a TEXT)",
        "CREATE TRIGGER x AFTER INSERT ON proj_t BEGIN DELETE FROM proj_t; END",
        "CREATE TEMP TABLE x (a TEXT)",
        "VACUUM",
        "COMMIT",
    ],
)
async def test_sqlite_itself_lets_a_handler_change_rows_of_its_tables_only(tmp_path: Path, text: str):
    sandbox = await open_sandbox(str(tmp_path / "main.db"))
    await sandbox.make("t_1", ["CREATE TABLE proj_t (a TEXT)"], [])

    applied = await sandbox.apply("t_1", 0, [Work(Cursor(1, "evt"), text, {})], Cursor(5, ""), 1000)

    assert (applied.position, applied.failure and applied.failure.cursor) == (0, Cursor(1, "evt"))
    assert await sandbox.cursor("t_1") == Cursor(0, "")
    await sandbox.close()


@pytest.fixture
def role(postgres_url: str) -> Any:
    """A role that may do nothing, on the server of the tests."""
    name = f"ironflow_test_{abs(hash(postgres_url)) % 10**9}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} NOLOGIN".encode())
        yield name
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())


async def test_on_postgres_a_role_keeps_users_sql_from_everything_else(postgres_url: str, role: str):
    async with open_server(Server, postgres_url, sql_role=role) as server:
        await server.call(
            sql.create, name="t", table_sql="CREATE TABLE proj_t (a TEXT, n SERIAL)",
            event_handlers={"e": "INSERT INTO proj_t (a) VALUES (:event_name)"},
        )  # fmt: skip
        await server.call(events.emit, event="e")
        await server.loop("sql-projections")
        found = await server.call(sql.query, name="t")
        assert [row.values for row in found.rows] == [["e", "1"]]

        sandbox: Sandbox = server.inside.sandbox
        (place,) = await sandbox.places()
        with psycopg.connect(postgres_url) as connection:
            (schema,) = connection.execute("SELECT current_schema()").fetchone() or ("",)
        for text in (f"UPDATE \"{schema}\".events SET name = 'x'", "UPDATE ironflow_cursor SET position = 99"):
            work = [Work(Cursor(2, "evt"), text, {})]
            applied = await sandbox.apply(place, 1, work, Cursor(2, "evt"), 1000)
            assert applied.failure is not None
            assert "permission denied" in applied.failure.message


# Slow SQL


async def test_emits_and_answers_go_on_while_users_sql_runs_without_end(database_url: str):
    async with open_server(Server, database_url, sql_statement_ms=2_000) as server:
        await server.call(
            sql.create, name="t", table_sql="CREATE TABLE proj_t (n BIGINT)",
            event_handlers={"e": f"INSERT INTO proj_t {WITHOUT_END}"},
        )  # fmt: skip
        await server.call(events.emit, event="e")
        hostile = Question([WITHOUT_END], {}, timeout_ms=2_000, rows_max=1, bytes_max=1000)
        running = [asyncio.ensure_future(server.inside.sandbox.ask(hostile)) for _ in range(4)]
        running.append(asyncio.ensure_future(server.loop("sql-projections")))
        await asyncio.sleep(0)

        async with asyncio.timeout(1.5):
            for _ in range(20):
                await server.call(events.emit, event="other")
                await server.call(sql.get, name="t")

        assert [each.done() for each in running] == [False] * 5
        for each in running[:-1]:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_a_statement_that_takes_too_long_stops_its_projection_and_no_other(database_url: str):
    async with open_server(Server, database_url, sql_statement_ms=100) as server:
        for name, statement in [
            ("slow", f"INSERT INTO proj_slow {WITHOUT_END}"),
            ("quick", "INSERT INTO proj_quick VALUES (1)"),
        ]:
            await server.call(
                sql.create, name=name, table_sql=f"CREATE TABLE proj_{name} (n BIGINT)", event_handlers={"e": statement}
            )
        await server.call(events.emit, event="e")
        for _ in range(4):
            await server.loop("sql-projections")
            server.move(60_000)

        found = {each.name: each for each in (await server.call(sql.list_)).projections}
        assert (found["slow"].status, found["slow"].last_event_seq) == ("error", 0)
        assert "took longer than 100 ms" in (found["slow"].error_message or "")
        assert (found["quick"].status, found["quick"].last_event_seq) == ("active", 1)


async def test_a_statement_that_changes_too_many_rows_is_undone(database_url: str):
    async with open_server(Server, database_url) as server:
        many = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t WHERE x < 10001) SELECT x FROM t"
        await server.call(
            sql.create, name="t", table_sql="CREATE TABLE proj_t (n BIGINT)",
            event_handlers={"e": f"INSERT INTO proj_t {many}"},
        )  # fmt: skip
        await server.call(events.emit, event="e")
        await server.loop("sql-projections")

        found = await server.call(sql.get, name="t")
        assert "it changed 10001 rows; 10000 are allowed" in (found.error_message or "")
        assert (await server.call(sql.query, name="t")).total_count == 0
