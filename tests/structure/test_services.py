"""The databases that tests run on are fresh, their own, and gone afterwards."""

import psycopg
import pytest

from tests.support.postgres import address_of, fresh_database, fresh_schema
from tests.support.services import find_postgres


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("postgresql://me@127.0.0.1:5432/postgres", "postgresql://me@127.0.0.1:5432/mine"),
        ("postgresql://me:p%40ss@db.test/postgres", "postgresql://me:p%40ss@db.test:5432/mine"),
        ("host=127.0.0.1 port=5433 user=me dbname=test", "postgresql://me@127.0.0.1:5433/mine"),
        ("postgresql:///test?host=/run/pg&user=me", "postgresql:///mine?user=me&host=%2Frun%2Fpg"),
        ("postgresql://me@db.test/test?sslmode=require", "postgresql://me@db.test:5432/mine?sslmode=require"),
    ],
)
def test_an_address_of_another_database_keeps_the_rest(server: str, address: str):
    assert address_of(server, "mine") == address


def test_a_fresh_database_is_empty_and_dropped_after_the_test(postgres_url: str):
    server = find_postgres().address or ""
    with fresh_database(server) as address, psycopg.connect(address) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)
        assert address != postgres_url

    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(address)


def test_a_test_sees_no_table_of_another(postgres_database: str, postgres_url: str):
    with psycopg.connect(postgres_url) as mine, fresh_schema(postgres_database) as other_url:
        mine.execute("CREATE TABLE things (id TEXT)")
        mine.commit()
        with psycopg.connect(other_url) as other, pytest.raises(psycopg.errors.UndefinedTable):
            other.execute("SELECT * FROM things")
