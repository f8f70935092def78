"""The index of patterns finds what comparing every pattern would find."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.pattern import matches
from ironflow.base.pattern_index import PatternIndex

TOKENS = st.sampled_from(["a", "b", "ab", "*", "a*", "c"])
PATTERNS = st.builds(
    lambda tokens, rest: ".".join(tokens + ([">"] if rest else [])),
    st.lists(TOKENS, min_size=1, max_size=4),
    st.booleans(),
)
NAMES = st.lists(st.sampled_from(["a", "b", "ab", "c", "abc"]), min_size=1, max_size=5)


@given(st.lists(PATTERNS, max_size=20), st.lists(PATTERNS, max_size=5), NAMES)
def test_a_name_finds_exactly_the_patterns_that_match_it(patterns: list[str], removed: list[str], name: list[str]):
    index: PatternIndex[str] = PatternIndex()
    kept = set(patterns)
    for pattern in kept:
        index.add(pattern, pattern)
    for pattern in removed:
        if pattern in kept:
            kept.discard(pattern)
            index.remove(pattern, pattern)

    assert sorted(index.find(tuple(name))) == sorted(each for each in kept if matches(each, ".".join(name)))


def test_an_emptied_index_keeps_nothing():
    index: PatternIndex[int] = PatternIndex()
    for number, pattern in enumerate(["a.b.c", "a.*.c", "a.>", ">", "a*"]):
        index.add(pattern, number)
    for number, pattern in enumerate(["a.b.c", "a.*.c", "a.>", ">", "a*"]):
        index.remove(pattern, number)

    assert index.find(("a", "b", "c")) == []
    assert index._root.is_empty()
    assert index._odd == {}


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("function.*.registered", True),
        ("function.my.fraud.check.registered", True),
        ("function.my.fraud.check.>", True),
        ("function.>", True),
        ("function.my.*", False),
        ("function.*.*", True),
        ("function.*", False),
        ("function.my.fraud.>", False),
    ],
)
def test_a_part_with_dots_is_one_token_of_a_pattern_or_named_in_full(pattern: str, fits: bool):
    index: PatternIndex[str] = PatternIndex()
    index.add(pattern, "found")

    assert index.find(("function", "my.fraud.check", "registered")) == (["found"] if fits else [])
