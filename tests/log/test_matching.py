"""Events are found by their names wherever they are, without a look at all others."""

import pytest

from ironflow.log import matching
from ironflow.log.matching import Wanted, count_between, names_meant, positions_after
from ironflow.log.read import head
from ironflow.storage.port import Tx
from tests.support.work import Work

NAMES = ["order.placed", "mail.sent", "order.item.added", "order.paid", "orderly", "order.placed"]


@pytest.fixture
async def log(house: Work) -> Work:
    for name in NAMES:
        await house.emit(name)
    await house.emit("order.placed", env="staging")
    return house


@pytest.mark.parametrize("names_max", [32, 1], ids=["by names", "by search"])
@pytest.mark.parametrize(
    ("patterns", "positions"),
    [
        (("order.placed",), [1, 6]),
        (("order.paid", "order.placed"), [1, 4, 6]),
        (("order.*",), [1, 4, 6]),
        (("order.>",), [1, 3, 4, 6]),
        (("order*",), [1, 3, 4, 5, 6]),
        (("*.sent", "orderly"), [2, 5]),
        ((">",), [1, 2, 3, 4, 5, 6]),
        (("nothing", "no.*"), []),
    ],
)
async def test_matching_events_are_found_in_order(
    log: Work, monkeypatch: pytest.MonkeyPatch, names_max: int, patterns: tuple[str, ...], positions: list[int]
):
    monkeypatch.setattr(matching, "NAMES_MAX", names_max)
    monkeypatch.setattr(matching, "STRETCH", 2)
    wanted = Wanted("default", patterns)

    def look(tx: Tx) -> tuple[list[int], int]:
        found: list[int] = []
        at, end = 0, head(tx)
        while at < end:
            page = positions_after(tx, wanted, at, end, 2)
            found += page.positions
            at = page.searched
        return found, count_between(tx, wanted, 0, end).events

    assert await log.db.read(look) == (positions, len(positions))


async def test_a_search_says_how_far_it_came(log: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matching, "NAMES_MAX", 1)
    monkeypatch.setattr(matching, "STRETCH", 2)
    monkeypatch.setattr(matching, "STRETCHES_MAX", 1)
    wanted = Wanted("default", ("order.*", "*.sent"))

    found = await log.db.read(lambda tx: positions_after(tx, wanted, 2, 7, 10))

    assert found == ([4], 4)


async def test_nothing_after_the_end_is_found(log: Work):
    found = await log.db.read(lambda tx: positions_after(tx, Wanted("default", ("order.*",)), 0, 4, 10))
    assert found == ([1, 4], 4)


async def test_counting_far_is_an_upper_bound(log: Work):
    counted = await log.db.read(lambda tx: count_between(tx, Wanted("default", ("order.placed",)), 0, 7, count_max=2))
    assert counted == (7, False)


async def test_wildcards_that_mean_few_names_are_read_by_name(log: Work):
    def look(tx: Tx) -> list[list[str] | None]:
        return [names_meant(tx, Wanted("default", each)) for each in (("order.*",), (">",), ("zzz",))]

    assert await log.db.read(look) == [
        ["order.paid", "order.placed"],
        ["mail.sent", "order.item.added", "order.paid", "order.placed", "orderly"],
        ["zzz"],
    ]
