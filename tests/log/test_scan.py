"""A scan finds every matching record once, in order, whichever way it reads, and looks at no more than a stretch."""

import pytest

from ironflow.features.streams import contract as streams
from ironflow.log import scan as scanning
from ironflow.log.read import head
from ironflow.log.scan import (
    EVERYTHING,
    Filter,
    count,
    count_up_to,
    names_of,
    scan,
    scan_back,
    scan_positions,
    topic_filter,
)
from ironflow.log.topics import topic_pattern
from ironflow.storage.port import Tx
from tests.support.work import Work

NAMES = ["order.placed", "mail.sent", "order.item.added", "order.paid", "orderly", "order.placed"]


@pytest.fixture
async def log(server: Work) -> Work:
    for name in NAMES:
        await server.emit(name)
    await server.emit("order.placed", env="staging")
    return server


def walk(tx: Tx, wanted: Filter, limit: int, look: int, *, newest_first: bool = False) -> list[int]:
    """The positions of all matching records, page by page."""
    found: list[int] = []
    after, until = 0, head(tx)
    while after < until:
        if newest_first:
            page = scan_back(tx, wanted, after, until, limit, look)
            until = page.reached - 1
        else:
            page = scan(tx, wanted, after, until, limit, look)
            assert scan_positions(tx, wanted, after, until, limit, look) == (
                [each.position for each in page.items],
                page.reached,
            )
            after = page.reached
        found += [each.position for each in page.items]
    return found


@pytest.mark.parametrize("names_max", [32, 1], ids=["by names", "along"])
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
        ((), [1, 2, 3, 4, 5, 6]),
        (("nothing", "no.*"), []),
    ],
)
async def test_matching_events_are_found_in_order(
    log: Work, monkeypatch: pytest.MonkeyPatch, names_max: int, patterns: tuple[str, ...], positions: list[int]
):
    monkeypatch.setattr(scanning, "NAMES_MAX", names_max)
    scanning.plan.cache_clear()
    wanted = Filter("default", names=patterns)

    for limit, look in ((2, 2), (1, 1), (10, 3), (2, 100)):
        assert await log.db.read(lambda tx, limit=limit, look=look: walk(tx, wanted, limit, look)) == positions
        back = await log.db.read(lambda tx, limit=limit, look=look: walk(tx, wanted, limit, look, newest_first=True))
        assert back == positions[::-1]
    if patterns:
        counted = await log.db.read(lambda tx: count(tx, wanted, 0, head(tx)))
        assert counted.records == len(positions)


@pytest.mark.parametrize(
    ("pattern", "namespace", "positions"),
    [
        ("entity:cart.*.>", "", [1, 2, 3]),
        ("entity:cart.c1.>", "", [1, 3]),
        ("entity:cart.*.added", "", [1, 2]),
        ("entity:*.*.paid", "", [3]),
        ("entity:shop.>", "", []),
        ("events:added", "", [4]),
        ("events:added", "other", []),
        ("events:*", "shop", [5]),
    ],
)
async def test_a_pattern_of_topics_is_a_filter(server: Work, pattern: str, namespace: str, positions: list[int]):
    for entity, name in (("c1", "added"), ("c2", "added"), ("c1", "paid")):
        await server.call(streams.append, entity_id=entity, entity_type="cart", event_name=name, data=1)
    await server.emit("added")
    await server.emit("other", namespace="shop")
    wanted = topic_filter("default", topic_pattern(pattern), namespace)

    for look in (1, 2, 100):
        assert await server.db.read(lambda tx, look=look: walk(tx, wanted, 2, look)) == positions


async def test_everything_is_every_record_of_every_environment(log: Work):
    assert await log.db.read(lambda tx: walk(tx, EVERYTHING, 3, 2)) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_page_that_is_not_full_reaches_as_far_as_the_scan_looked(log: Work):
    wanted = Filter("default", names=("order.*", "*.sent"))

    assert await log.db.read(lambda tx: scan_positions(tx, wanted, 2, 7, 10, 2)) == ([4], 4)
    assert await log.db.read(lambda tx: scan_positions(tx, wanted, 7, 7, 10, 2)) == ([], 7)


async def test_a_scan_goes_on_at_the_next_record_that_can_match(log: Work, monkeypatch: pytest.MonkeyPatch):
    """Positions without one are passed over, those of removed records too."""
    monkeypatch.setattr(scanning, "POSITIONS_PER_NAME", 1)
    staging = Filter("staging")
    removed = Filter("default", kinds=("topic",))

    assert await log.db.read(lambda tx: scan_positions(tx, staging, 0, 7, 10, 2)) == ([], 6)
    await log.db.write(lambda tx: tx.run("DELETE FROM events WHERE position > 2 AND position < 7"))
    assert await log.db.read(lambda tx: scan_positions(tx, removed, 0, 7, 10, 2)) == ([], 7)
    assert await log.db.read(lambda tx: scan_positions(tx, EVERYTHING, 2, 7, 10, 2)) == ([], 6)


async def test_nothing_after_the_end_is_found(log: Work):
    found = await log.db.read(lambda tx: scan_positions(tx, Filter("default", names=("order.*",)), 0, 4, 10))
    assert found == ([1, 4], 4)


async def test_counting_far_is_an_upper_bound(log: Work):
    wanted = Filter("default", names=("order.placed",))
    assert await log.db.read(lambda tx: count(tx, wanted, 0, 7, count_max=2)) == (7, False)
    assert await log.db.read(lambda tx: count_up_to(tx, wanted, 0, 7, 1)) == 1


async def test_wildcards_that_mean_few_names_are_known_by_name(log: Work):
    def look(tx: Tx) -> list[list[str] | None]:
        patterns = (("order.*",), (">",), ("zzz",), ("order.>", "*.sent"))
        return [names_of(tx, Filter("default", names=each), 5) for each in patterns]

    assert await log.db.read(look) == [
        ["order.paid", "order.placed"],
        ["mail.sent", "order.item.added", "order.paid", "order.placed", "orderly"],
        ["zzz"],
        ["mail.sent", "order.item.added", "order.paid", "order.placed"],
    ]
    assert await log.db.read(lambda tx: names_of(tx, Filter("default", names=(">",)), 4)) is None
