"""Paths into event data: all spellings of a place mean the same. Source: protocol/step-semantics.md 5."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.path import MISSING, compiled_path, key_text, value_text

ORDER = {
    "order": {"id": "o1", "items": [{"sku": "a"}, {"sku": "b"}], "": "empty", "0": "zero"},
    "total": 0,
    "none": None,
}


@pytest.mark.parametrize(
    "spelled", ["order.id", "data.order.id", "event.data.order.id", "$.data.order.id", " order.id "]
)
def test_every_spelling_finds_the_same_value(spelled: str) -> None:
    assert compiled_path(spelled)(ORDER) == "o1"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("order.items.1.sku", "b"),
        ("order.0", "zero"),
        ("total", 0),
        ("none", None),
        ("", ORDER),
        ("data", ORDER),
        ("$", ORDER),
        ("order.", "empty"),
        ("missing", MISSING),
        ("order.id.deeper", MISSING),
        ("order.items.2", MISSING),
        ("order.items.-1", MISSING),
        ("order.items.²", MISSING),
        ("order.items.٣", MISSING),
        ("order.items." + "9" * 5000, MISSING),
        ("none.deeper", MISSING),
        ("total.0", MISSING),
    ],
)
def test_what_is_found_at_a_path(path: str, value: Any) -> None:
    assert compiled_path(path)(ORDER) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.text(), JSON)
def test_no_path_and_no_data_is_an_error(path: str, data: Any) -> None:
    value = compiled_path(path)(data)

    assert isinstance(key_text(value), str)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MISSING, ""),
        (None, ""),
        ("a", "a"),
        ("", ""),
        (3, "3"),
        (2.5, "2.5"),
        (True, "true"),
        (12345678901234567890123, "12345678901234567890123"),
        ([1, "a"], '[1,"a"]'),
        ({"a": 1}, '{"a":1}'),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_a_value_as_comparable_text(value: Any, text: str) -> None:
    assert key_text(value) == text


def test_a_missing_value_is_found_by_nothing_and_an_empty_one_by_itself() -> None:
    assert (value_text(MISSING), value_text(""), value_text(None), value_text(1)) == ("", "=", "=", "=1")
