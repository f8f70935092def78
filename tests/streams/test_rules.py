"""What an append does to the head of its stream, and which reads and snapshots are refused."""

import pytest

from ironflow.base.errors import IronflowError, VersionConflict
from ironflow.features.events.contract import EntityTypeConflict, InvalidEntity
from ironflow.features.events.rules import check_entity, decide_append
from ironflow.features.streams import rules
from ironflow.features.streams.contract import AnswerTooLarge, InvalidRead, InvalidSnapshot, SnapshotTooLarge
from ironflow.log.heads import Head

NEW = Head("default", "order-7", "", 0, 0, 0, 0)
AT_3 = Head("default", "order-7", "order", 3, 3, 100, 300)

ACCEPTED = [
    (NEW, "order", -1, Head("default", "order-7", "order", 1, 1, 400, 400)),
    (NEW, "order", 0, Head("default", "order-7", "order", 1, 1, 400, 400)),
    (AT_3, "order", -1, Head("default", "order-7", "order", 4, 4, 100, 400)),
    (AT_3, "", -1, Head("default", "order-7", "order", 4, 4, 100, 400)),
    (AT_3, "order", 3, Head("default", "order-7", "order", 4, 4, 100, 400)),
]
REFUSED = [
    (NEW, "order", 1, VersionConflict, "version conflict: entity 'order-7' has no events yet, .* expects version 1"),
    (AT_3, "order", 0, VersionConflict, "version conflict: .* is at version 3, the append expects a new stream"),
    (AT_3, "order", 2, VersionConflict, "version conflict: .* is at version 3, the append expects version 2"),
    (AT_3, "order", 4, VersionConflict, "version conflict: .* is at version 3, the append expects version 4"),
    (AT_3, "user", -1, EntityTypeConflict, "has the type 'order', the append says 'user'"),
    (AT_3, "user", 9, EntityTypeConflict, "has the type 'order', the append says 'user'"),
    (NEW, "", -1, InvalidEntity, "say its entity_type"),
]


@pytest.mark.parametrize(("head", "entity_type", "expected", "after"), ACCEPTED)
def test_an_accepted_append_moves_the_head_by_one(head: Head, entity_type: str, expected: int, after: Head):
    assert decide_append(head, entity_type, expected, now=400) == after


@pytest.mark.parametrize(("head", "entity_type", "expected", "refusal", "message"), REFUSED)
def test_a_refused_append_names_the_conflict(
    head: Head, entity_type: str, expected: int, refusal: type[IronflowError], message: str
):
    with pytest.raises(refusal, match=message):
        decide_append(head, entity_type, expected, now=400)


def test_a_conflict_carries_the_version_that_the_stream_is_at():
    with pytest.raises(VersionConflict) as refused:
        decide_append(AT_3, "order", 2, now=400)
    assert refused.value.current_version == 3
    assert (refused.value.connect, refused.value.status, refused.value.retryable) == ("aborted", 409, False)


def test_a_clock_that_is_behind_does_not_turn_a_stream_back():
    assert decide_append(AT_3, "order", 3, now=200).updated_at == 300


@pytest.mark.parametrize(
    ("entity_id", "entity_type", "expected"),
    [
        ("", "order", -1),
        ("has spaces", "order", -1),
        ("a*", "order", -1),
        ("a>", "order", -1),
        ("a\n", "order", -1),
        ("x" * 257, "order", -1),
        ("order-7", "has spaces", -1),
        ("order-7", "x" * 257, -1),
        ("order-7", "order", -2),
    ],
)
def test_impossible_entities_and_versions_are_refused(entity_id: str, entity_type: str, expected: int):
    with pytest.raises(InvalidEntity):
        check_entity(entity_id, entity_type, expected)


@pytest.mark.parametrize("entity_id", ["order-7", "me@example.com", "a/b:c", "é", "x" * 256, "a.b.c"])
def test_ids_are_what_people_call_their_things(entity_id: str):
    check_entity(entity_id, "order", 0)


@pytest.mark.parametrize(("direction", "backward"), [("", False), ("forward", False), ("backward", True)])
def test_directions(direction: str, backward: bool):
    assert rules.check_direction(direction) is backward


def test_an_unknown_direction_is_refused():
    with pytest.raises(InvalidRead, match="write `forward` or `backward`"):
        rules.check_direction("sideways")


def test_an_answer_has_a_size():
    rules.check_answer_bytes(rules.ANSWER_BYTES_MAX, 10)
    with pytest.raises(AnswerTooLarge, match="first 10 of the events"):
        rules.check_answer_bytes(rules.ANSWER_BYTES_MAX + 1, 10)


@pytest.mark.parametrize("version", [-1, 0, 4])
def test_a_snapshot_is_of_a_version_that_was_reached(version: int):
    with pytest.raises(InvalidSnapshot, match="versions 1 to 3"):
        rules.check_snapshot(AT_3, "order", version)


def test_a_snapshot_names_the_streams_type_or_none():
    rules.check_snapshot(AT_3, "order", 3)
    rules.check_snapshot(AT_3, "", 1)
    with pytest.raises(EntityTypeConflict):
        rules.check_snapshot(AT_3, "user", 3)


def test_a_snapshots_state_has_a_size():
    rules.check_state_bytes(10, 10)
    with pytest.raises(SnapshotTooLarge, match="11 bytes; this server accepts 10"):
        rules.check_state_bytes(11, 10)
