"""What is decided about keys and buckets, as tables. Source: docs/reference/kv.md."""

from typing import Any

import pytest

from ironflow.base.errors import IronflowError
from ironflow.features.kv.contract import BucketFull, InvalidBucket, InvalidKey, RevisionConflict, ValueTooLarge
from ironflow.features.kv.rules import (
    VALUE_BYTES_MAX,
    BucketRow,
    Condition,
    EntryRow,
    check_bucket_name,
    check_key,
    condition_of,
    decide_delete,
    decide_put,
    is_live,
    is_seen,
)

NOW = 1_000_000
ANY = Condition()


def bucket(**more: Any) -> BucketRow:
    plain = BucketRow(
        "b", "", ttl_ms=0, value_bytes_max=0, bytes_max=0, history=1, created_at=0, last_revision=7, bytes_stored=0
    )
    return BucketRow(**{name: more.get(name, getattr(plain, name)) for name in plain.__struct_fields__})


def entry(operation: str = "put", revision: int = 5, age_ms: int = 0, size_bytes: int = 3) -> EntryRow:
    return EntryRow("k", revision, operation, size_bytes, NOW - age_ms)


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 128, ".", "-"])
def test_a_bucket_name(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a/b", "é", "a\n", "*", "a:b"])
def test_what_is_no_bucket_name(name: str) -> None:
    with pytest.raises(InvalidBucket):
        check_bucket_name(name)


@pytest.mark.parametrize(
    "key", ["a", "user:123", "a/b/c", "a//b/", "..", "日本", "100%", "%2F", " ", "a b", "x" * 1024, "é" * 512]
)
def test_a_key(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513, "a\0", "a\nb", "\x7f", "user.*", ">", "a>b"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(InvalidKey):
        check_key(key)


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "condition"),
    [
        (None, None, Condition()),
        ("5", None, Condition(revision=5)),
        ('"5"', None, Condition(revision=5)),
        ('W/"5"', None, Condition(revision=5)),
        (' "5" ', None, Condition(revision=5)),
        ("007", None, Condition(revision=7)),
        ("*", None, Condition(exists=True)),
        # Several clients say with revision 0 that the key must not exist.
        ("0", None, Condition(exists=False)),
        (None, "*", Condition(exists=False)),
        (None, '"*"', Condition(exists=False)),
        ("5", "*", Condition(exists=False)),
    ],
)
def test_the_condition_that_headers_state(
    if_match: str | None, if_none_match: str | None, condition: Condition
) -> None:
    assert condition_of(if_match, if_none_match) == condition


@pytest.mark.parametrize(
    ("if_match", "if_none_match"),
    [
        ("", None),
        ("abc", None),
        ("-1", None),
        ("1.5", None),
        ("1,2", None),
        ("9" * 19, None),
        ("٣", None),
        (None, "5"),
        (None, ""),
    ],
)
def test_a_condition_that_is_not_understood_is_refused_and_not_ignored(
    if_match: str | None, if_none_match: str | None
) -> None:
    with pytest.raises(InvalidKey):
        condition_of(if_match, if_none_match)


@pytest.mark.parametrize(
    ("newest", "ttl_ms", "live", "seen_at_revision"),
    [
        (entry(), 0, True, True),
        (entry("delete"), 0, False, True),
        (entry(age_ms=10**9), 0, True, True),
        (entry(age_ms=99), 100, True, True),
        (entry(age_ms=100), 100, False, False),
        (entry("delete", age_ms=100), 100, False, False),
    ],
)
def test_what_a_reader_sees(newest: EntryRow, ttl_ms: int, live: bool, seen_at_revision: bool) -> None:
    assert is_live(newest, bucket(ttl_ms=ttl_ms), NOW) is live
    assert is_seen(newest, ttl_ms, NOW, at_revision=True) is seen_at_revision


def test_a_reader_sees_nothing_where_nothing_was() -> None:
    assert is_live(None, bucket(), NOW) is False


# What the condition says of a key in each state: absent, at revision 5, deleted at 5, expired at 5.
STATES = [None, entry(), entry("delete"), entry(age_ms=100)]


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        (ANY, [True, True, True, True]),
        (Condition(revision=5), [False, True, False, False]),
        (Condition(revision=4), [False, False, False, False]),
        (Condition(revision=6), [False, False, False, False]),
        (Condition(exists=True), [False, True, False, False]),
        (Condition(exists=False), [True, False, True, True]),
    ],
)
def test_a_write_happens_when_its_condition_holds(condition: Condition, allowed: list[bool]) -> None:
    for newest, may in zip(STATES, allowed, strict=True):
        for decide in (
            lambda newest: decide_put(bucket(ttl_ms=100), newest, "k", 3, condition, NOW),
            lambda newest: decide_delete(bucket(ttl_ms=100), newest, "k", condition, NOW),
        ):
            try:
                decide(newest)
            except RevisionConflict:
                assert not may
            else:
                assert may


def test_a_put_is_the_next_revision_of_its_bucket() -> None:
    assert decide_put(bucket(), entry(), "k", 9, ANY, NOW) == EntryRow("k", 8, "put", 9, NOW)


def test_a_delete_is_a_tombstone_without_a_value() -> None:
    assert decide_delete(bucket(), entry(), "k", ANY, NOW) == EntryRow("k", 8, "delete", 0, NOW)


@pytest.mark.parametrize("newest", [None, entry("delete"), entry(age_ms=100)])
def test_deleting_nothing_is_no_error_and_no_revision(newest: EntryRow | None) -> None:
    assert decide_delete(bucket(ttl_ms=100), newest, "k", ANY, NOW) is None


@pytest.mark.parametrize(
    ("limits", "size_bytes", "refusal"),
    [
        ({}, VALUE_BYTES_MAX, None),
        ({}, VALUE_BYTES_MAX + 1, ValueTooLarge),
        ({"value_bytes_max": 10}, 10, None),
        ({"value_bytes_max": 10}, 11, ValueTooLarge),
        ({"value_bytes_max": 10**9}, VALUE_BYTES_MAX + 1, None),
        ({"bytes_max": 100, "bytes_stored": 90}, 10, None),
        ({"bytes_max": 100, "bytes_stored": 90}, 11, BucketFull),
        ({"bytes_max": 100, "bytes_stored": 100}, 0, None),
    ],
)
def test_how_large_a_value_may_be(limits: dict[str, int], size_bytes: int, refusal: type[IronflowError] | None) -> None:
    if refusal is None:
        assert decide_put(bucket(**limits), None, "k", size_bytes, ANY, NOW).size_bytes == size_bytes
    else:
        with pytest.raises(refusal):
            decide_put(bucket(**limits), None, "k", size_bytes, ANY, NOW)


def test_what_a_put_pushes_out_makes_feature_for_it() -> None:
    full = bucket(bytes_max=100, bytes_stored=100)

    assert decide_put(full, entry(), "k", 30, ANY, NOW, freed_bytes=30).size_bytes == 30
    with pytest.raises(BucketFull, match="holds 100 of 100 bytes; 31 more do not fit"):
        decide_put(full, entry(), "k", 31, ANY, NOW, freed_bytes=30)


def test_a_conflict_names_the_revision_that_the_key_is_at() -> None:
    with pytest.raises(RevisionConflict, match="is at revision 5, the request expects 4"):
        decide_put(bucket(), entry(), "k", 1, Condition(revision=4), NOW)
    with pytest.raises(RevisionConflict, match="does not exist, the request expects 4"):
        decide_put(bucket(), None, "k", 1, Condition(revision=4), NOW)
    with pytest.raises(RevisionConflict, match="exists already, at revision 5"):
        decide_put(bucket(), entry(), "k", 1, Condition(exists=False), NOW)
