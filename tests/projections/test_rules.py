"""What is decided about projections, as tables."""

from dataclasses import replace
from typing import Any

import pytest

from ironflow.features.projections import rules
from ironflow.features.projections.contract import InvalidSave, LeaseLost, StaleSave, WrongMode
from ironflow.features.projections.feeding import metadata_with
from ironflow.features.projections.rules import Held, ProjectionRow, RebuildRow, Registration

NOW = 1_000_000
PLAIN = rules.registered("default", "totals", Registration("managed", 1, ("a",), ""), "generation_1", NOW)
LEASED = replace(PLAIN, lease_token="t", lease_epoch=3, lease_ends_at=NOW + 10)
BUILD = RebuildRow(
    id="r", environment="default", name="totals", generation="generation_2", status="running", partition_key=None,
    from_event_id="", to_event_id="", start_position=0, target=50, cursor=20,
    events_total=40, events_done=10, error="", started_at=NOW - 1_000, ended_at=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (PLAIN, "active"),
        (replace(PLAIN, error_message="x"), "error"),
        (replace(PLAIN, error_message="x", rebuild_id="r"), "rebuilding"),
        (replace(PLAIN, error_message="x", rebuild_id="r", paused=True), "paused"),
    ],
)
def test_what_stops_a_projection_is_its_status(row: ProjectionRow, status: str):
    assert rules.status_of(row) == status


@pytest.mark.parametrize(
    ("row", "held", "allowed"),
    [
        (PLAIN, None, True),
        (LEASED, None, False),
        (replace(LEASED, lease_ends_at=NOW), None, True),
        (LEASED, Held("t", 3), True),
        (replace(LEASED, lease_ends_at=NOW - 99), Held("t", 3), True),
        (LEASED, Held("t", 2), False),
        (LEASED, Held("x", 3), False),
        (PLAIN, Held("t", 3), False),
        (rules.without_lease(LEASED), Held("t", 3), False),
    ],
)
def test_a_writer_holds_the_lease_or_there_is_none(row: ProjectionRow, held: Held | None, allowed: bool):
    if allowed:
        rules.check_lease(row, held, NOW)
        return
    with pytest.raises(LeaseLost, match="projection lease lost"):
        rules.check_lease(row, held, NOW)


def test_each_grant_has_a_higher_epoch_and_none_is_given_while_one_lasts():
    first = rules.decide_acquire(PLAIN, "t1", NOW)
    assert first is not None
    assert rules.decide_acquire(first, "t2", NOW + rules.LEASE_MS - 1) is None
    second = rules.decide_acquire(first, "t2", NOW + rules.LEASE_MS)
    assert second is not None
    assert (first.lease_epoch, second.lease_epoch, second.lease_token) == (1, 2, "t2")
    assert (first.implicit_lease, first.lease_ends_at) == ("", NOW + 30_000)


@pytest.mark.parametrize(
    ("row", "stream", "given"),
    [
        (PLAIN, "s1", True),
        (replace(PLAIN, implicit_lease="s1", implicit_lease_ends_at=NOW + 1), "s1", True),
        (replace(PLAIN, implicit_lease="s1", implicit_lease_ends_at=NOW + 1), "s2", False),
        (replace(PLAIN, implicit_lease="s1", implicit_lease_ends_at=NOW), "s2", True),
        (LEASED, "s1", False),
    ],
)
def test_one_stream_without_a_lease_has_the_implicit_lease(row: ProjectionRow, stream: str, given: bool):
    after = rules.decide_implicit_lease(row, stream, NOW)
    assert (after is not None) is given
    assert after is None or (after.implicit_lease, after.implicit_lease_ends_at) == (
        stream,
        NOW + rules.IMPLICIT_LEASE_MS,
    )


@pytest.mark.parametrize(
    ("row", "held", "stream", "fed"),
    [
        (PLAIN, None, "", True),
        (replace(PLAIN, paused=True), Held("t", 3), "", False),
        (replace(PLAIN, retry_at=NOW + 1), None, "", False),
        (LEASED, Held("t", 3), "", True),
        (LEASED, None, "", False),
        (replace(PLAIN, implicit_lease="s1", implicit_lease_ends_at=NOW + 1), None, "", False),
        (replace(PLAIN, implicit_lease="s1", implicit_lease_ends_at=NOW + 1), None, "s1", True),
    ],
)
def test_which_runner_is_fed(row: ProjectionRow, held: Held | None, stream: str, fed: bool):
    assert rules.is_fed(row, held, stream, NOW) is fed


@pytest.mark.parametrize(
    ("position", "sent_up_to", "held", "fault"),
    [
        (10, None, None, None),
        (0, None, None, None),
        (11, None, None, InvalidSave),
        (-1, None, None, InvalidSave),
        (5, 5, None, None),
        (6, 5, None, StaleSave),
        (6, 5, Held("t", 3), None),
    ],
)
def test_a_save_names_a_place_that_the_log_has_and_that_was_sent(
    position: int, sent_up_to: int | None, held: Held | None, fault: type[Exception] | None
):
    row = replace(PLAIN, sent_up_to=sent_up_to)
    if fault is None:
        rules.check_position(row, position, 10, held)
        return
    with pytest.raises(fault):
        rules.check_position(row, position, 10, held)


@pytest.mark.parametrize(("mode", "wanted"), [("managed", "external"), ("external", "managed")])
def test_each_mode_has_its_own_way_to_save(mode: str, wanted: str):
    rules.check_mode(replace(PLAIN, mode=mode), mode)
    with pytest.raises(WrongMode):
        rules.check_mode(replace(PLAIN, mode=mode), wanted)


@pytest.mark.parametrize(
    ("position", "own", "cursor", "repeat"),
    [(5, 0, 0, False), (5, 5, 0, True), (5, 6, 0, True), (5, 0, 5, True), (5, 4, 4, False)],
)
def test_a_save_of_what_is_saved_is_a_repeat(position: int, own: int, cursor: int, repeat: bool):
    assert rules.is_repeat(position, own, cursor) is repeat


def test_a_save_moves_the_cursor_forward_only_and_never_that_of_the_readers_during_a_rebuild():
    row = replace(PLAIN, cursor=10, sent_up_to=30)
    ahead = rules.decide_saved(row, 20, NOW)
    behind = rules.decide_saved(row, 9, NOW)
    building = rules.decide_saved(replace(row, rebuild_id="r"), 20, NOW)

    assert [(each.cursor, each.sent_up_to) for each in (ahead, behind, building)] == [(20, None), (10, None), (10, 30)]


@pytest.mark.parametrize(("cursor", "cured"), [(7, True), (6, False), (0, False), (8, True)])
def test_an_error_is_over_when_the_cursor_passes_its_event(cursor: int, cured: bool):
    failing = replace(PLAIN, error_message="x", tries=5, tries_position=7, retry_at=NOW + 5)
    after = rules.decide_saved(failing, cursor, NOW)
    assert (after.error_message, after.tries, after.retry_at) == (("", 0, 0) if cured else ("x", 5, NOW + 5))


def test_deliveries_of_the_same_event_are_counted_and_put_ever_further_off():
    row, seen = PLAIN, []
    for _ in range(11):
        row = rules.decide_delivery(row, 7, "evt_7 (a)", NOW)
        seen.append((row.tries, row.retry_at - NOW if row.retry_at else 0, bool(row.error_message)))
    # The first delivery is not counted: it is the second that shows that the event comes again.
    assert seen[:3] == [(2, 0, False), (3, 0, False), (4, 1_000, True)]
    assert [rest for _, rest, _ in seen[3:]] == [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]
    assert rules.decide_delivery(row, 8, "evt_8 (a)", NOW).tries == 2


@pytest.mark.parametrize(
    ("newest_at", "kept_at", "every_ms", "days", "kept"),
    [
        (NOW, 0, 60_000, 7.0, True),
        (NOW, NOW - 60_000, 60_000, 7.0, True),
        (NOW, NOW - 59_999, 60_000, 7.0, False),
        (NOW, NOW, 0, 7.0, True),
        (NOW, 0, 0, 0.0, False),
    ],
)
def test_older_states_stay_at_most_so_often(newest_at: int, kept_at: int, every_ms: int, days: float, kept: bool):
    assert rules.decide_keeping(newest_at, kept_at, every_ms, days) is kept


@pytest.mark.parametrize(
    ("path", "data", "partition"),
    [
        ("", '{"c": 1}', "__global__"),
        ("data.c", '{"c": "x"}', "x"),
        ("$.data.c", '{"c": 1.50}', "1.5"),
        ("c", '{"c": 12345678901234567890}', "12345678901234567890"),
        ("data.c", '{"c": false}', "false"),
        ("data.c", '{"c": null}', "__global__"),
        ("data.c", "[]", "__global__"),
        ("data.items.0.id", '{"items": [{"id": "i"}]}', "i"),
        ("data.c", '{"c": "' + "x" * 512 + '"}', "x" * 512),
    ],
)
def test_an_events_partition(path: str, data: str, partition: str):
    assert rules.partition_of(path, data) == partition


def test_a_long_partition_key_is_its_hash():
    long = rules.partition_of("c", '{"c": "' + "x" * 513 + '"}')
    assert (long[:7], len(long)) == ("sha256:", 71)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, '{"__partition":"p"}'),
        ("{}", '{"__partition":"p"}'),
        (" { } ", '{"__partition":"p"}'),
        ("null", '{"__partition":"p"}'),
        ('{"a": 1}', '{"__partition":"p","a": 1}'),
        ('{"__partition": "x", "a": 1}', '{"__partition":"p","a":1}'),
    ],
)
def test_metadata_carries_the_partition(metadata: str | None, expected: str):
    assert metadata_with(metadata, "p") == expected


def test_a_rebuild_fences_every_runner_and_its_end_none():
    begun = rules.decide_rebuild(replace(LEASED, cursor=30, error_message="x", tries=4), BUILD, NOW)
    swapped = rules.decide_swapped(replace(begun, lease_token="t2"), replace(BUILD, cursor=50), NOW)
    cancelled = rules.decide_cancelled(begun, NOW)

    assert (begun.rebuild_id, begun.generation, begun.cursor, begun.sent_up_to, begun.error_message) == (
        "r", "generation_1", 30, 0, "",
    )  # fmt: skip
    assert (begun.lease_token, begun.lease_epoch) == ("", 4)
    assert (swapped.generation, swapped.cursor, swapped.rebuild_id, swapped.lease_token) == (
        "generation_2",
        50,
        "",
        "t2",
    )
    assert (cancelled.generation, cancelled.cursor, cancelled.sent_up_to, cancelled.lease_epoch) == (
        "generation_1",
        30,
        30,
        5,
    )


def test_the_end_of_a_partitions_rebuild_moves_no_cursor():
    row = replace(PLAIN, cursor=50, rebuild_id="r")
    swapped = rules.decide_swapped(row, replace(BUILD, partition_key="a"), NOW)
    assert (swapped.generation, swapped.cursor, swapped.rebuild_id) == ("generation_1", 50, "")


def test_registering_the_same_again_changes_nothing():
    same = Registration("managed", 1, ("a",), "")
    assert rules.decide_registration(PLAIN, same, NOW + 5) is PLAIN
    changes: list[dict[str, Any]] = [
        {"mode": "external"}, {"version": 2}, {"events": ("b",)}, {"partition_key": "c"},
    ]  # fmt: skip
    for change in changes:
        after = rules.decide_registration(PLAIN, replace(same, **change), NOW + 5)
        assert after == replace(PLAIN, **change, updated_at=NOW + 5)
