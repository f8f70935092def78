"""Statements that go to PostgreSQL together: values arrive as they were, and the first error is raised."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ironflow.storage import postgres_pipeline
from ironflow.storage.postgres_pipeline import Pipeline
from ironflow.storage.postgres_tx import PostgresWrite

ADD = b"INSERT INTO notes VALUES ($1, $2)"
NAMES = b"SELECT name FROM notes ORDER BY name"
PREPARED = b"SELECT count(*) FROM pg_prepared_statements"


@pytest.fixture
def connection(empty_postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(empty_postgres_url, autocommit=True) as opened:
        opened.execute("CREATE TEMPORARY TABLE notes (name text PRIMARY KEY, body text NOT NULL)")
        yield opened


@pytest.fixture
def pipeline(connection: psycopg.Connection[Any]) -> Pipeline:
    return Pipeline(connection, prepares=True)


@pytest.mark.parametrize("prepares", [True, False])
@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("text", "ü'\"\\ 😀"),
        ("text", ""),
        ("text", None),
        ("bigint", -(2**63)),
        ("bigint", 0),
        ("integer", 7),
        ("integer", 2**31 - 1),
        ("bigint", 2**31),
        ("numeric", 2**63),
        ("float8", 0.1),
        ("boolean", True),
        ("bytea", b"\0\xff\\"),
        ("text[]", ["a", 'b"\\,{}', ""]),
        ("text[]", []),
        ("bigint[]", [1, 2**40]),
    ],
)
def test_a_value_comes_back_as_it_was_given(
    connection: psycopg.Connection[Any], type_name: str, value: object, prepares: bool
):
    pipeline = Pipeline(connection, prepares=prepares)
    for _ in range(5):
        result, beside = pipeline.run(
            [(b"SELECT CAST($1 AS %s)" % type_name.encode(), [value]), (b"SELECT 1, 'x'", ())]
        )
        assert pipeline.rows(result) == [(value,)]
        assert pipeline.rows(beside) == [(1, "x")]


def test_a_small_number_is_an_integer_to_functions_of_postgresql(pipeline: Pipeline):
    (result,) = pipeline.run([(b"SELECT substr('abc', 1, $1)", (2,))])
    assert pipeline.rows(result) == [("ab",)]


def test_a_text_that_postgresql_cannot_have_is_refused_before_anything_is_sent(pipeline: Pipeline):
    with pytest.raises(psycopg.DataError, match="NUL"):
        pipeline.run([(ADD, ("a", "")), (ADD, ("b", "\0"))])
    assert pipeline.rows(pipeline.run([(NAMES, ())])[0]) == []


def test_the_first_error_is_raised_and_nothing_after_it_is_executed(pipeline: Pipeline):
    pipeline.run([(ADD, ("a", ""))])
    for _ in range(5):
        with pytest.raises(psycopg.errors.UniqueViolation):
            pipeline.run([(b"BEGIN", ()), (ADD, ("b", "")), (ADD, ("a", "")), (b"SELECT 1/0", ()), (b"COMMIT", ())])
        pipeline.run([(b"ROLLBACK", ())])
    assert pipeline.rows(pipeline.run([(NAMES, ())])[0]) == [("a",)]


def test_a_statement_is_prepared_when_it_was_run_several_times_and_stays_after_a_rollback(pipeline: Pipeline):
    for _ in range(10):
        with pytest.raises(psycopg.errors.DivisionByZero):
            pipeline.run([(b"BEGIN", ()), (NAMES, ()), (b"SELECT 1/CAST($1 AS bigint)", (0,)), (ADD, ("a", ""))])
        pipeline.run([(b"ROLLBACK", ())])
    found, count = pipeline.run([(NAMES, ()), (PREPARED, ())])
    assert pipeline.rows(found) == []
    # BEGIN, ROLLBACK, the names and the division, each once.
    assert pipeline.rows(count) == [(4,)]


def test_a_prepared_statement_whose_table_has_changed_fails_once(connection: psycopg.Connection[Any]):
    pipeline = Pipeline(connection, prepares=True)
    everything = b"SELECT name, body FROM notes"
    for _ in range(5):
        pipeline.run([(everything, ())])
    connection.execute("ALTER TABLE notes ALTER COLUMN body TYPE bytea USING convert_to(body, 'UTF8')")

    with pytest.raises(psycopg.errors.FeatureNotSupported, match="cached plan"):
        pipeline.run([(everything, ())])
    for _ in range(5):
        pipeline.run([(everything, ())])


def test_a_refused_value_begins_no_transaction_and_loses_no_statement_before_it(pipeline: Pipeline):
    tx = PostgresWrite(pipeline, lock_ms=1_000)
    add = "INSERT INTO notes VALUES (:name, :body)"
    tx.many(add, [("a", "")])
    with pytest.raises(psycopg.DataError, match="NUL"):
        tx.run(add, {"name": "b", "body": "\0"})
    tx.run(add, {"name": "c", "body": ""})

    assert tx.rows(NAMES.decode()) == [("a",), ("c",)]
    pipeline.run([(b"ROLLBACK", ())])
    assert pipeline.rows(pipeline.run([(NAMES, ())])[0]) == []


@pytest.mark.parametrize(
    "asked",
    [
        b"SELECT name FROM notes WHERE name > $1",
        b"SELECT name FROM notes WHERE $1 = '' OR name <= $1",
        b"SELECT name FROM notes WHERE name = $1 LIMIT 1",
    ],
)
def test_a_statement_whose_best_plan_depends_on_its_values_is_not_prepared(pipeline: Pipeline, asked: bytes):
    pipeline.run([(asked, ("a",))] * 10)
    (count,) = pipeline.run([(PREPARED, ())])
    assert pipeline.rows(count) == [(0,)]


def test_no_more_statements_are_prepared_than_the_limit(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgres_pipeline, "PREPARED_MAX", 3)
    for number in range(20):
        pipeline.run([(b"SELECT %d" % number, ())] * 10)
    (count,) = pipeline.run([(PREPARED, ())])
    assert pipeline.rows(count) == [(3,)]


def test_a_pipeline_may_be_larger_than_what_the_connection_holds_both_ways(pipeline: Pipeline):
    text = "x" * 10_000
    results = pipeline.run([(b"SELECT CAST($1 AS text)", (text,))] * 2_000)
    assert all(pipeline.rows(result) == [(text,)] for result in results)


def test_a_connection_that_is_lost_is_closed(connection: psycopg.Connection[Any], empty_postgres_url: str):
    pipeline = Pipeline(connection, prepares=True)
    with psycopg.connect(empty_postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        pipeline.run([(NAMES, ())])
    assert connection.closed
