"""Makes databases and schemas of PostgreSQL for tests, and drops them."""

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

PREFIX = "ironflow_test"
KEPT_S = 3600
_numbers = itertools.count(1)


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The address of a new, empty database on `server`; dropped at the end together with its connections."""
    name = f"{PREFIX}_{int(time.time())}_{os.getpid()}_{next(_numbers)}"
    _run(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield address_of(server, name)
    finally:
        _drop(server, name)


@contextmanager
def fresh_schema(database: str) -> Iterator[str]:
    """The address of a new schema, the only one on its search path. Far quicker than a new database.

    It is dropped at the end, unless a remaining process locks it: then it is dropped with the database.
    """
    name = f"{PREFIX}_{next(_numbers)}"
    _run(database, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    try:
        yield at_schema(database, name)
    finally:
        with suppress(psycopg.errors.LockNotAvailable), psycopg.connect(database, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '2s'")
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def at_schema(database: str, schema: str, **settings: str) -> str:
    """`database` with this schema as the whole search path. settings: of the server, for each connection."""
    options = " ".join(f"-c{name}={value}" for name, value in {"search_path": schema, **settings}.items())
    return f"{database}{'&' if '?' in database else '?'}{urlencode({'options': options}, quote_via=quote)}"


def sweep(server: str) -> list[str]:
    """Drops the databases that killed test processes left behind: those of tests, older than an hour. Returns them."""
    with psycopg.connect(server, autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{PREFIX}_%",)).fetchall()
    old = [name for (name,) in rows if int(name.removeprefix(PREFIX).split("_")[1]) < time.time() - KEPT_S]
    for name in old:
        _drop(server, name)
    return old


def address_of(server: str, database: str) -> str:
    """`server` as a postgresql:// address of another database on it."""
    parts = {key: str(value) for key, value in conninfo_to_dict(server).items() if value is not None}
    del parts["dbname"]
    host = parts.get("host", "")
    if host.startswith("/") or not host:
        return f"postgresql:///{database}?{urlencode(parts)}"
    del parts["host"]
    credentials = quote(parts.pop("user", ""), safe="")
    if "password" in parts:
        credentials += ":" + quote(parts.pop("password"), safe="")
    port = parts.pop("port", "5432")
    rest = f"?{urlencode(parts)}" if parts else ""
    return f"postgresql://{credentials}{'@' if credentials else ''}{host}:{port}/{database}{rest}"


def _drop(server: str, name: str) -> None:
    _run(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
