"""SQL is written once: fragments and parameters become what each database reads."""

import pytest

from ironflow.base.target import is_postgres
from ironflow.storage.dialect import POSTGRES, SQLITE
from ironflow.storage.postgres_tx import in_order, numbered


@pytest.mark.parametrize(
    ("sql", "sqlite", "postgres"),
    [
        ("SELECT 1", "SELECT 1", "SELECT 1"),
        (
            "id IN {each:ids}",
            "id IN (SELECT value FROM json_each(:ids))",
            "id IN (SELECT unnest(CAST(:ids AS text[])) AS value)",
        ),
        ("LIMIT 1 {skip_locked}", "LIMIT 1 ", "LIMIT 1 FOR UPDATE SKIP LOCKED"),
    ],
)
def test_a_fragment_becomes_the_sql_of_each_database(sql: str, sqlite: str, postgres: str) -> None:
    assert (SQLITE.fill(sql), POSTGRES.fill(sql)) == (sqlite, postgres)


def test_both_databases_know_the_same_fragments() -> None:
    assert SQLITE.fragments.keys() == POSTGRES.fragments.keys()


def test_an_unknown_fragment_is_an_error_and_not_an_empty_text() -> None:
    with pytest.raises(KeyError):
        SQLITE.fill("SELECT {nonsense}")


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("a = :a AND b = :b_2", "a = $1 AND b = $2"),
        ("CAST(:a AS text)", "CAST($1 AS text)"),
        ("a::text = :a", "a::text = $1"),
        ("a LIKE '%x' || :a", "a LIKE '%x' || $1"),
        ("a = :b OR c = :a OR d = :b", "a = $1 OR c = $2 OR d = $1"),
        ("at < :now-:lease_ms", "at < $1-$2"),
    ],
)
def test_parameters_become_numbers(sql: str, sent: str) -> None:
    assert numbered(sql)[0].decode() == sent


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("postgres://h/db", True),
        ("postgresql://h/db", True),
        ("postgresql:///db?host=/run", True),
        ("ironflow.db", False),
        ("/data/postgresql.db", False),
        ("postgresql", False),
    ],
)
def test_a_db_value_names_postgresql_or_a_file(target: str, expected: bool) -> None:
    assert is_postgres(target) is expected


def test_parameters_in_order_are_each_named_once() -> None:
    assert in_order("INSERT INTO t (a, b) VALUES (:a, :b)") == b"INSERT INTO t (a, b) VALUES ($1, $2)"
    with pytest.raises(ValueError, match="named twice"):
        in_order("UPDATE t SET a = :a WHERE b = :a")
