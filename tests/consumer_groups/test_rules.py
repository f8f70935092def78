"""What is decided about deliveries, groups and shares: tables of cases."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ironflow.base.cel import InvalidExpression
from ironflow.base.pattern import InvalidPattern
from ironflow.features.consumer_groups import contract, rules
from ironflow.features.consumer_groups.contract import AckType, GroupStatus, InvalidAck, InvalidGroup
from ironflow.features.consumer_groups.rules import (
    SPENT,
    TERMINATED,
    Ack,
    Delivery,
    Done,
    GiveUp,
    Group,
    Left,
    Nak,
    Outcome,
    Redeliver,
    Term,
    TimedOut,
    Verdict,
)
from ironflow.log.record import Record

NOW = 1_000_000
REQUEST = contract.CreateGroup(name="billing", pattern="topic:mail", ack_mode=contract.AckMode.MANUAL)
GROUP = rules.decide_creation("cg_1", "default", REQUEST, position=7, now=NOW)


def delivery(attempt: int) -> Delivery:
    return Delivery(GROUP.id, 8, "msg_1", attempt, "mem_1", NOW)


REDELIVERY: list[tuple[int, Outcome, Verdict]] = [
    (1, Ack(), Done()),
    (4, Ack(), Done()),
    (1, Term(), GiveUp(TERMINATED)),
    (1, Nak(), Redeliver(NOW + 5_000, 1)),
    (3, Nak(0), Redeliver(NOW, 3)),
    (3, Nak(250), Redeliver(NOW + 250, 3)),
    (4, Nak(250), GiveUp(f"{SPENT}: rejected by the consumer")),
    (1, TimedOut(), Redeliver(NOW + 5_000, 1)),
    (4, TimedOut(), GiveUp(f"{SPENT}: not acknowledged in time")),
    (2, Left(), Redeliver(NOW, 2)),
    (4, Left(), GiveUp(f"{SPENT}: the consumer was lost")),
    # What never went out is no attempt.
    (4, Left(was_sent=False), Redeliver(NOW, 3)),
]


@pytest.mark.parametrize(("attempt", "outcome", "verdict"), REDELIVERY)
def test_a_delivery_is_done_tried_again_or_dead(attempt: int, outcome: Outcome, verdict: Verdict):
    assert rules.decide_redelivery(delivery(attempt), outcome, GROUP, NOW) == verdict


def test_without_redeliveries_the_first_rejection_makes_a_dead_letter():
    group = replace(GROUP, max_redeliveries=0)
    assert rules.decide_redelivery(delivery(1), Nak(), group, NOW) == GiveUp(f"{SPENT}: rejected by the consumer")


ACKS: list[tuple[AckType | None, int | None, object]] = [
    (AckType.ACK, None, Ack()),
    (AckType.ACK, 0, Ack()),
    (AckType.NAK, None, Nak(None)),
    (AckType.NAK, 0, Nak(0)),
    (AckType.NAK, 250, Nak(250)),
    (AckType.TERM, None, Term()),
    (AckType.ACK, 1, InvalidAck),
    (AckType.TERM, 1, InvalidAck),
    (AckType.NAK, -1, InvalidAck),
    (AckType.NAK, contract.DELAY_MS_MAX + 1, InvalidAck),
    (None, None, InvalidAck),
]


@pytest.mark.parametrize(("ack_type", "delay_ms", "meant"), ACKS)
def test_only_a_nak_has_a_delay(ack_type: AckType | None, delay_ms: int | None, meant: object):
    if meant is InvalidAck:
        with pytest.raises(InvalidAck):
            rules.decide_ack(ack_type, delay_ms)
    else:
        assert rules.decide_ack(ack_type, delay_ms) == meant


CAPACITY: list[tuple[dict[str, Any], int, int, int, tuple[int, int]]] = [
    ({}, 0, 0, 10, (10, 10)),
    ({}, 95, 0, 10, (5, 5)),
    ({}, 100, 0, 10, (0, 0)),
    # The limit was lowered below what is in flight.
    ({"max_inflight": 10}, 100, 0, 10, (0, 0)),
    ({}, 0, rules.WAITING_MAX, 10, (10, 0)),
    ({"status": "paused"}, 0, 0, 10, (0, 0)),
]


@pytest.mark.parametrize(("config", "in_flight", "waiting", "wanted", "capacity"), CAPACITY)
def test_a_group_has_a_limit_in_flight_and_one_for_what_waits(
    config: dict[str, Any], in_flight: int, waiting: int, wanted: int, capacity: tuple[int, int]
):
    assert rules.decide_capacity(replace(GROUP, **config), in_flight, waiting, wanted) == capacity


@pytest.mark.parametrize(
    ("config", "in_flight", "dropped"),
    [
        ({"backpressure": "drop"}, 100, True),
        ({"backpressure": "drop"}, 99, False),
        ({"backpressure": "drop", "status": "paused"}, 100, False),
        ({"backpressure": "block"}, 100, False),
        ({"backpressure": "buffer"}, 100, False),
    ],
)
def test_only_a_full_group_that_drops_passes_events_over(config: dict[str, Any], in_flight: int, dropped: bool):
    assert rules.decide_drop(replace(GROUP, **config), in_flight) is dropped


@pytest.mark.parametrize(
    ("features", "limit", "given"),
    [
        ([], 5, []),
        ([("a", 3)], 5, ["a", "a", "a"]),
        ([("a", 3), ("b", 1), ("c", 2)], 9, ["a", "b", "c", "a", "c", "a"]),
        ([("a", 3), ("b", 3)], 3, ["a", "b", "a"]),
        ([("a", 0), ("b", 2)], 9, ["b", "b"]),
    ],
)
def test_members_take_turns_as_long_as_they_have_feature(features: list[tuple[str, int]], limit: int, given: list[str]):
    assert rules.shares(features, limit) == given


def record(name: str = "mail", kind: Any = "topic", **more: Any) -> Record:
    return Record(id="x", environment="default", kind=kind, name=name, data='{"total":7}', created_at=NOW, **more)


@pytest.mark.parametrize(
    ("config", "found", "meant"),
    [
        ({}, record(), True),
        ({}, record("post"), False),
        ({}, record(kind="event"), False),
        ({"environment": "staging"}, record(), False),
        # Messages to topics have no namespace, events have one.
        ({"namespace": "shop"}, record(), True),
        ({"namespace": "shop", "pattern": "mail"}, record(kind="event"), False),
        ({"namespace": "shop", "pattern": "mail"}, record(kind="event", namespace="shop"), True),
        ({"filter_expr": "data.total > 6"}, record(), True),
        ({"filter_expr": "data.total > 7"}, record(), False),
        ({"filter_expr": "data.missing > 7"}, record(), False),
        ({"filter_expr": "total:7"}, record(), True),
        ({"filter_expr": "total:8"}, record(), False),
        ({"filter_expr": "topic == 'topic:mail' && name == 'mail' && timestamp < '1971'"}, record(), True),
    ],
)
def test_a_group_delivers_what_fits_pattern_namespace_and_filter(config: dict[str, Any], found: Record, meant: bool):
    assert rules.is_delivered(replace(GROUP, **config), found) is meant


def test_fields_left_out_of_a_new_group_have_defaults():
    group = rules.decide_creation("cg_1", "default", contract.CreateGroup(name="g", pattern="order.*"), 7, NOW)
    assert group == Group(
        id="cg_1",
        environment="default",
        namespace="default",
        name="g",
        pattern="order.*",
        filter_expr="",
        ack_mode="auto",
        backpressure="buffer",
        max_inflight=100,
        max_redeliveries=3,
        redeliver_delay_ms=5_000,
        ack_wait_ms=30_000,
        metadata=None,
        status="active",
        position=7,
        dropped=0,
        version=1,
        created_at=NOW,
        updated_at=NOW,
    )


BAD: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"name": ""}, InvalidGroup),
    ({"name": "a b"}, InvalidGroup),
    ({"name": "x" * 129}, InvalidGroup),
    ({"namespace": "a/b"}, InvalidGroup),
    ({"pattern": ""}, InvalidPattern),
    ({"pattern": "topic:"}, InvalidPattern),
    ({"pattern": "topic:a..b"}, InvalidPattern),
    ({"pattern": "topic:>.a"}, InvalidPattern),
    ({"pattern": "system.run.>"}, InvalidPattern),
    ({"pattern": "x" * 513}, InvalidPattern),
    ({"filter_expr": "data."}, InvalidExpression),
    ({"max_inflight": 10_001}, InvalidGroup),
    ({"max_inflight": -1}, InvalidGroup),
    ({"max_redeliveries": -1}, InvalidGroup),
    ({"redeliver_delay_ms": contract.DELAY_MS_MAX + 1}, InvalidGroup),
    ({"ack_wait_ms": contract.DELAY_MS_MAX + 1}, InvalidGroup),
    ({"ack_wait_ms": -1}, InvalidGroup),
    ({"metadata": msgspec.Raw(b"[1]")}, InvalidGroup),
]


@pytest.mark.parametrize(("config", "refusal"), BAD)
def test_groups_that_cannot_be_are_refused(config: dict[str, Any], refusal: type[Exception]):
    request = msgspec.structs.replace(REQUEST, **config)
    with pytest.raises(refusal):
        rules.decide_creation("cg_1", "default", request, 7, NOW)


def change(**given: Any) -> contract.GroupChange:
    return contract.GroupChange(name="billing", **given)


UPDATES: list[tuple[contract.GroupChange, str, dict[str, Any]]] = [
    (change(max_inflight=7), "", {"max_inflight": 7}),
    (change(max_inflight=7, max_redeliveries=9), "maxInflight", {"max_inflight": 7}),
    (change(max_inflight=7), "max_inflight, status", {"max_inflight": 7, "status": "active"}),
    # Named and not given: unset, which for redeliveries is none at all.
    (change(), "maxRedeliveries", {"max_redeliveries": 0}),
    (change(max_redeliveries=0), "", {"max_redeliveries": 0}),
    (change(), "group.max_inflight,redeliverDelayMs,ackMode", {"ack_mode": "auto"}),
    (change(status=GroupStatus.PAUSED), "", {"status": "paused"}),
    (change(), "", {}),
]


@pytest.mark.parametrize(("given", "mask", "changed"), UPDATES)
def test_an_update_changes_what_the_mask_names_or_what_is_given(
    given: contract.GroupChange, mask: str, changed: dict[str, Any]
):
    updated = rules.decide_update(GROUP, given, mask, NOW + 1)
    assert updated == replace(GROUP, **changed, version=2, updated_at=NOW + 1)


@pytest.mark.parametrize(
    ("given", "mask", "refusal"),
    [
        (change(), "name", InvalidGroup),
        (change(), "pattern", InvalidPattern),
        (change(status=GroupStatus.DELETED), "", InvalidGroup),
        (change(max_inflight=-1), "", InvalidGroup),
    ],
)
def test_updates_that_cannot_be_are_refused(given: contract.GroupChange, mask: str, refusal: type[Exception]):
    with pytest.raises(refusal):
        rules.decide_update(GROUP, given, mask, NOW)
