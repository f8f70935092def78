"""Patterns: `*` for one token, `>` for the rest, `*` beside other characters for any text."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ironflow.base.pattern import InvalidPattern, compiled, is_pattern, literal_prefix, matches


@pytest.mark.parametrize(
    ("pattern", "means", "not_means"),
    [
        ("order.placed", ["order.placed"], ["order.placed.x", "order", "orderXplaced", "Order.placed"]),
        ("order.*", ["order.placed", "order.é"], ["order", "order.", "order.item.added", "orders.placed"]),
        ("order.>", ["order.placed", "order.item.added"], ["order", "order.", "orders.placed"]),
        ("*.placed", ["order.placed"], ["placed", ".placed", "a.b.placed"]),
        ("*.*", ["a.b"], ["a", "a.b.c", "a."]),
        ("*", ["order"], ["order.placed", ""]),
        (">", ["order", "order.placed", "."], [""]),
        ("*.>", ["a.b", "a.b.c"], ["a", "a."]),
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c"]),
        ("user-*", ["user-1", "user-", "user-a.b@c.org"], ["user", "xuser-1"]),
        ("*@example.org", ["a.b@example.org", "@example.org"], ["a@example.org.uk"]),
        ("a*c", ["ac", "abc", "a.b.c"], ["a", "abcd"]),
        ("**", ["a", "a.b"], []),
        ("a*b.*", ["ab.x", "a.b.b.x"], ["ab", "ab.x.y"]),
        ("a+(b)[c]", ["a+(b)[c]"], ["aab"]),
        ("user:*", ["user:1", "user:1/x"], ["user"]),
        ("a>b.*", ["a>b.c"], ["a.b.c"]),
        ("a\nb.*", ["a\nb.c\nd"], []),
    ],
)
def test_what_a_pattern_means(pattern: str, means: list[str], not_means: list[str]) -> None:
    assert [name for name in means if not matches(pattern, name)] == []
    assert [name for name in not_means if matches(pattern, name)] == []


@pytest.mark.parametrize("pattern", ["", ">.a", "a.>.b", ">.>"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        compiled(pattern)


@pytest.mark.parametrize(("text", "expected"), [("a.b", False), ("a.*", True), (">", True), ("a>b", True), ("", False)])
def test_a_text_with_a_wildcard_is_a_pattern(text: str, expected: bool) -> None:
    assert is_pattern(text) is expected


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("order.*", "order."), ("order.>", "order."), ("user-*", "user-"), (">", ""), ("a.b", "a.b")],
)
def test_the_literal_prefix(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix


NAMES = st.text("ab.>", max_size=8)


@given(st.text("ab.*", min_size=1, max_size=8), NAMES)
@example("a*b.*b", "abb.b.b")
@example("*a*.*.b*", "aa.a.b.a.bb")
def test_a_pattern_means_what_its_plain_definition_means(pattern: str, name: str) -> None:
    """Against a regular expression that says it plainly, and may take for ever."""
    expected = r"\.".join(
        "[^.]+" if token == "*" else ".*".join(re.escape(piece) for piece in token.split("*"))
        for token in pattern.split(".")
    )

    assert matches(pattern, name) is (re.fullmatch(expected, name, re.DOTALL) is not None)


@given(st.text("ab.*>", min_size=1, max_size=8), NAMES)
def test_every_name_that_is_meant_begins_with_the_literal_prefix(pattern: str, name: str) -> None:
    try:
        meant = matches(pattern, name)
    except InvalidPattern:
        return

    assert not meant or name.startswith(literal_prefix(pattern))


@pytest.mark.parametrize("pattern", ["*a" * 300 + "b", "*.*a*" + "*a" * 300 + "*.b", "a*" * 300 + "c.>"])
def test_a_hostile_pattern_ends_quickly(pattern: str) -> None:
    started = time.process_time()

    assert not matches(pattern, "a" * 2000)

    assert time.process_time() - started < 1
