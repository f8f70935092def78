"""Finds the services and programs that some tests need: PostgreSQL, NATS, Chromium, Go, Node.js and Caddy.

A server is the one that IRONFLOW_TEST_POSTGRES (a libpq address) or IRONFLOW_TEST_NATS (nats://host:port) names,
else the one that `make services` started, else one at its usual local address. A PostgreSQL user has to be allowed to
create databases.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import psycopg

from tests.support.local_services import Nats, Postgres, address, nats_info

MAY_CREATE = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"


@dataclass(frozen=True, slots=True)
class Service:
    """address: None when it is missing. fault: the reason, where a server was named or found and cannot be used.

    source: where it comes from.
    """

    name: str
    address: str | None
    fault: str = ""
    source: str = "`make services` provides it"

    @property
    def missing(self) -> str:
        return f"{self.name} is missing{f' ({self.fault})' if self.fault else ''}: {self.source}"


@cache
def find_postgres() -> Service:
    named = os.environ.get(Postgres.variable)
    started = address(Postgres.name)
    candidates = [each for each in (named or started,) if each] or list(_usual_postgres())
    fault = ""
    for each in candidates:
        fault = postgres_fault(each)
        if not fault:
            return Service("PostgreSQL", each)
    return Service("PostgreSQL", None, f"{Postgres.variable}: {fault}" if named else "")


def _usual_postgres() -> Iterator[str]:
    for user in ("postgres", "root"):
        for database in ("postgres", "test"):
            yield f"postgresql://{user}@127.0.0.1:5432/{database}"
            yield f"postgresql:///{database}?host=/var/run/postgresql&user={user}"


def postgres_fault(server: str) -> str:
    """Why tests cannot use a server; empty when they can."""
    try:
        with psycopg.connect(server, connect_timeout=2, autocommit=True) as connection:
            may_create = connection.execute(MAY_CREATE).fetchone()
    except psycopg.Error as fault:
        return str(fault).strip().splitlines()[0]
    return "" if may_create == (True,) else "this user may not create databases"


@cache
def find_nats() -> Service:
    named = os.environ.get(Nats.variable)
    where = named or address(Nats.name) or "nats://127.0.0.1:4222"
    info = nats_info(where)
    if info.get("jetstream"):
        return Service("NATS", where)
    fault = "without JetStream; start it with -js" if info else "does not answer" if named else ""
    return Service("NATS", None, f"{where} {fault}" if fault else "")


@cache
def find_chromium() -> Service:
    return Service("Chromium", shutil.which("chromium") or shutil.which("google-chrome"))


@cache
def find_go() -> Service:
    return Service("Go", shutil.which("go"), source="install the package golang-go")


@cache
def find_node() -> Service:
    return Service("Node.js", shutil.which("node"), source="install the package nodejs")


@cache
def find_caddy() -> Service:
    return Service("Caddy", shutil.which("caddy"), source="install the package caddy")


# By the names that IRONFLOW_TEST_REQUIRE uses.
SERVICES = {
    "postgres": find_postgres,
    "nats": find_nats,
    "chromium": find_chromium,
    "go": find_go,
    "node": find_node,
    "caddy": find_caddy,
}


def summary() -> list[str]:
    """One line with the addresses of the services, and one for each that is missing."""
    found = [find() for find in SERVICES.values()]
    present = [f"{each.name} at {each.address}" for each in found if each.address]
    return [*([", ".join(present)] if present else []), *(each.missing for each in found if not each.address)]
