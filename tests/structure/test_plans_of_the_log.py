"""However long the log is, a statement over it reads what it answers or a stretch of positions, and sorts nothing."""

import asyncio
import re
from pathlib import Path
from types import ModuleType

import apsw
import pytest

from ironflow.features.events import store as events
from ironflow.features.streams import store as streams
from ironflow.log import read, scan
from ironflow.log.scan import Filter, topic_filter
from ironflow.log.topics import topic_pattern
from ironflow.notify.port import LocalNotifier
from ironflow.storage.dialect import SQLITE
from ironflow.storage.open import open_database

# By an index up to its last column, by position, or one row of an index.
BOUNDED = re.compile(
    r"INTEGER PRIMARY KEY|events_by_id \(id=\?\)|events_by_name \(environment=\? AND name[=><]"
    r"|events_by_entity \(environment=\? AND entity_id=\?|events_of_entities_by_run|events_imported$"
)
OF_THE_LOG = re.compile(r"SELECT.*FROM events\b", re.DOTALL)
FILTERS = [
    scan.EVERYTHING,
    Filter("e"),
    Filter("e", names=("a.*",)),
    Filter("e", names=("a", "b"), source="s", text="t", since=1, until=2),
    topic_filter("e", topic_pattern("events:a.*"), "shop"),
    topic_filter("e", topic_pattern("entity:cart.c1.>"), "shop"),
]
UNBOUNDED = re.compile(r"USE TEMP B-TREE|SCAN events")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("plans") / "log.db"
    asyncio.run(_make(place))
    return place


async def _make(place: Path) -> None:
    await (await open_database(str(place), LocalNotifier(), now=0)).close()


def statements() -> list[tuple[str, str]]:
    def of(module: ModuleType) -> list[tuple[str, str]]:
        return [
            (f"{module.__name__.removeprefix('ironflow.')}.{name}", value)
            for name, values in vars(module).items()
            if name[0].isalpha() and name.isupper() and isinstance(values, str | list)
            for value in ([values] if isinstance(values, str) else values)
            if isinstance(value, str) and re.search(r"SELECT.*FROM events\b", value, re.DOTALL)
        ]

    along = [
        (f"log.scan.plan({wanted})", sql)
        for wanted in FILTERS
        for sql in (*scan.plan(wanted).records_along, scan.plan(wanted).positions_along)
    ]
    return [each for module in (events, streams, read, scan) for each in of(module)] + along


def test_there_are_statements_to_look_at():
    assert len(statements()) > 20


@pytest.mark.parametrize(("name", "sql"), statements(), ids=[name for name, _ in statements()])
def test_a_statement_over_the_log_is_bounded(file: Path, name: str, sql: str):
    filled = SQLITE.fill(sql)
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {filled}", dict.fromkeys(re.findall(r":(\w+)", filled), 1))
    plan = [str(row[3]) for row in rows]
    connection.close()

    assert not [each for each in plan if UNBOUNDED.search(each)]
    assert [each for each in plan if "SEARCH events" in each]
    assert [each for each in plan if "SEARCH events" in each and not BOUNDED.search(each)] == []
