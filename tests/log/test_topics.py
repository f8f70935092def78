"""Topics of records, and patterns of them."""

from typing import Any

import pytest

from ironflow.base.cel import InvalidExpression
from ironflow.base.pattern import InvalidPattern
from ironflow.log.filters import event_filter
from ironflow.log.record import Record
from ironflow.log.scan import plan, topic_filter
from ironflow.log.topics import SystemPattern, topic_of, topic_pattern


def record(kind: Any, name: str, data: str = "null", **more: Any) -> Record:
    return Record(id="x", environment="default", kind=kind, name=name, data=data, created_at=0, **more)


ADDED = record("entity", "item.added", entity_type="cart", entity_id="7.eu")


@pytest.mark.parametrize(
    ("found", "topic"),
    [
        (record("event", "order.placed"), "events:order.placed"),
        (record("topic", "mail"), "topic:mail"),
        (ADDED, "entity:cart.7.eu.item.added"),
        (record("invoke", "charge"), ""),
    ],
)
def test_a_record_has_the_topic_of_its_kind(found: Record, topic: str):
    assert topic_of(found) == topic


CASES = [
    ("order.placed", record("event", "order.placed"), True),
    ("events:order.*", record("event", "order.placed"), True),
    ("events:order.*", record("event", "order.item.added"), False),
    ("events:>", record("event", "order.item.added"), True),
    ("events:>", record("topic", "order"), False),
    ("topic:>", record("topic", "order"), True),
    (">", record("invoke", "charge"), False),
    ("topic:a:b", record("topic", "a:b"), True),
    ("a:b", record("event", "a:b"), True),
    ("entity:cart.*.item.added", ADDED, True),
    ("entity:cart.7.eu.item.added", ADDED, True),
    ("entity:cart.7.eu.>", ADDED, True),
    ("entity:cart.*.>", ADDED, True),
    ("entity:order.*.>", ADDED, False),
    ("item.added", ADDED, False),
]


@pytest.mark.parametrize(("pattern", "found", "fits"), CASES)
def test_a_pattern_means_records_of_one_kind(pattern: str, found: Record, fits: bool):
    assert topic_pattern(pattern).fits(found) is fits


@pytest.mark.parametrize(("pattern", "found"), [case[:2] for case in CASES if case[2]])
def test_a_record_that_fits_is_within_the_bounds_of_the_filter(pattern: str, found: Record):
    wanted = topic_filter("default", topic_pattern(pattern))
    params = plan(wanted).along
    assert wanted.matches(found)
    assert params.get("first", "") <= found.name <= params.get("last", found.name)


@pytest.mark.parametrize("pattern", ["", "a..b", ".a", "topic:", "entity:.", "a.>.b", "a\nb", "x" * 513])
def test_patterns_that_are_none_are_refused(pattern: str):
    with pytest.raises(InvalidPattern):
        topic_pattern(pattern)


def test_topics_of_the_server_are_not_in_the_log():
    with pytest.raises(SystemPattern):
        topic_pattern("system.run.>")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("status:failed", True),
        ("status:done", False),
        ("order.total:7", True),
        ("data.order.total:7", True),
        ("name:order.placed", True),
        ("ok:true", True),
        ("data.order.total > 6 ? true : false", True),
        ("data.nothing.here == 1", False),
    ],
)
def test_a_filter_is_an_expression_or_a_field_and_its_value(text: str, fits: bool):
    found = record("event", "order.placed", '{"status":"failed","order":{"total":7},"ok":true}')
    assert event_filter(text).fits(found) is fits


def test_a_filter_that_is_no_expression_is_refused():
    with pytest.raises(InvalidExpression):
        event_filter("status == 'failed'")
