"""Finds the servers that some tests need, and makes databases for them.

    python -m tests.support.services postgres nats      # says where they are; exit code 1 when one is missing

IRONFLOW_TEST_POSTGRES (a libpq address) and IRONFLOW_TEST_NATS (nats://host:port) name a server; without
them the usual local addresses are tried. A PostgreSQL user has to be allowed to create databases.
"""

import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote, urlencode, urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

PREFIX = "ironflow_test"
KEPT_S = 3600
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Service:
    """A server outside of ours. url: None when it was not found, and then `fault` says what was tried."""

    name: str
    url: str | None
    fault: str
    help: str


@cache
def find_postgres() -> Service:
    given = os.environ.get("IRONFLOW_TEST_POSTGRES")
    tried = [given] if given else list(_usual_postgres())
    faults: dict[str, str] = {}
    for address in tried:
        try:
            with psycopg.connect(address, connect_timeout=2, autocommit=True) as connection:
                may = connection.execute(
                    "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
                ).fetchone()
        except psycopg.Error as fault:
            faults[address] = str(fault).strip().splitlines()[0]
            continue
        if may == (True,):
            return Service("PostgreSQL", address, "", "")
        faults[address] = "this user may not create databases"
    return Service(
        "PostgreSQL",
        None,
        "; ".join(f"{address}: {fault}" for address, fault in faults.items()),
        "start one on 127.0.0.1:5432, or set IRONFLOW_TEST_POSTGRES=postgresql://user:password@host:port/database",
    )


def _usual_postgres() -> Iterator[str]:
    for user in ("postgres", "root"):
        for database in ("postgres", "test"):
            yield f"postgresql://{user}@127.0.0.1:5432/{database}"
            yield f"postgresql:///{database}?host=/var/run/postgresql&user={user}"


@cache
def find_nats() -> Service:
    url = os.environ.get("IRONFLOW_TEST_NATS") or "nats://127.0.0.1:4222"
    at = urlsplit(url)
    fault = ""
    try:
        with socket.create_connection((at.hostname or "127.0.0.1", at.port or 4222), timeout=2) as connection:
            word, _, facts = connection.makefile("rb").readline().partition(b" ")
    except OSError as refused:
        fault = f"{url}: {refused}"
    else:
        if word != b"INFO":
            fault = f"{url}: not a NATS server"
        elif not json.loads(facts).get("jetstream"):
            fault = f"{url}: runs without JetStream; start it with -js"
    help_ = "start one with `nats-server -js`, or set IRONFLOW_TEST_NATS=nats://host:port"
    return Service("NATS", None if fault else url, fault, help_)


SERVICES = {"postgres": find_postgres, "nats": find_nats}


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The address of a new, empty database on `server`; it is dropped at the end, whoever is still connected."""
    name = f"{PREFIX}_{int(time.time())}_{os.getpid()}_{next(_numbers)}"
    _run(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield address_of(server, name)
    finally:
        _drop(server, name)


@contextmanager
def fresh_schema(database: str) -> Iterator[str]:
    """An address under which `database` is empty: a new schema is all that is seen. Far quicker than a new database.

    It is dropped at the end, unless a process that is still there holds on to it: then it goes with the database.
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
    """`database` as somebody sees it to whom this schema is all there is; settings: of the server, for connections."""
    options = " ".join(f"-c{name}={value}" for name, value in {"search_path": schema, **settings}.items())
    return f"{database}{'&' if '?' in database else '?'}{urlencode({'options': options}, quote_via=quote)}"


def sweep(server: str) -> list[str]:
    """Drops what test processes that were killed left behind: databases of ours older than an hour."""
    with psycopg.connect(server, autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{PREFIX}_%",)).fetchall()
    old = [name for (name,) in rows if int(name.removeprefix(PREFIX).split("_")[1]) < time.time() - KEPT_S]
    for name in old:
        _drop(server, name)
    return old


def address_of(server: str, database: str) -> str:
    """`server` as a postgresql:// address of another database on it."""
    said = {key: str(value) for key, value in conninfo_to_dict(server).items() if value is not None}
    del said["dbname"]
    host = said.get("host", "")
    if host.startswith("/") or not host:
        return f"postgresql:///{database}?{urlencode(said)}"
    del said["host"]
    credentials = quote(said.pop("user", ""), safe="")
    if "password" in said:
        credentials += ":" + quote(said.pop("password"), safe="")
    port = said.pop("port", "5432")
    rest = f"?{urlencode(said)}" if said else ""
    return f"postgresql://{credentials}{'@' if credentials else ''}{host}:{port}/{database}{rest}"


def _drop(server: str, name: str) -> None:
    _run(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def main(names: list[str]) -> int:
    missing = False
    for name in names or list(SERVICES):
        service = SERVICES[name]()
        print(f"{service.name}: {service.url or f'not found ({service.fault})'}")
        missing = missing or service.url is None
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
