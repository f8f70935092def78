"""However long the log is, a statement over it reads what it answers or a stretch of positions, and sorts nothing."""

import asyncio
import re
from pathlib import Path
from types import ModuleType

import apsw
import pytest

from ironflow.broker.port import LocalBroker
from ironflow.features.events import store as events
from ironflow.features.streams import store as streams
from ironflow.log import matching, named, read, search
from ironflow.storage.dialect import SQLITE
from ironflow.storage.open import open_database

# By an index up to its last column, by position, or one row of an index.
BOUNDED = re.compile(
    r"INTEGER PRIMARY KEY|events_by_id \(id=\?\)|events_by_name \(environment=\? AND name[=><]"
    r"|events_by_entity \(environment=\? AND entity_id=\?|events_of_entities_by_run|events_imported$"
)
OF_THE_LOG = re.compile(r"SELECT.*FROM events\b", re.DOTALL)
UNBOUNDED = re.compile(r"USE TEMP B-TREE|SCAN events")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("plans") / "log.db"
    asyncio.run(_make(place))
    return place


async def _make(place: Path) -> None:
    await (await open_database(str(place), LocalBroker(), now=0)).close()


def statements() -> list[tuple[str, str]]:
    def of(module: ModuleType) -> list[tuple[str, str]]:
        return [
            (f"{module.__name__.removeprefix('ironflow.')}.{name}", value)
            for name, value in vars(module).items()
            if name[0].isalpha()
            and name.isupper()
            and isinstance(value, str)
            and re.search(r"SELECT.*FROM events\b", value, re.DOTALL)
        ]

    return [each for module in (events, streams, matching, named, read, search) for each in of(module)]


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
