"""CEL: which events an expression matches, and that a hostile expression ends within its budget."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.cel import EXPRESSION_CHARS_MAX, InvalidExpression, cost_of, expression, fields_of

ORDER: dict[str, Any] = {
    "total": 120,
    "currency": "EUR",
    "items": [{"sku": "a"}],
    "note": None,
    "rate": 1.5,
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data.total > 100", True),
        ("data.total > 100.5", True),
        ("data.rate < 2", True),
        ('data.currency in ["EUR", "USD"]', True),
        ('data.currency == "EUR" && data.total < 100', False),
        ('data.currency.startsWith("E") || data.nothing == 1', True),
        ('data.currency.matches("^E.R$")', True),
        ('data.currency.contains("UR")', True),
        ('data.items[0].sku == "a"', True),
        ("size(data.items) == 1", True),
        ("data.note == null", True),
        ("has(data.total) && !has(data.nothing)", True),
        ('data.items.exists(item, item.sku == "a")', True),
        ('event.data.total == 120 && event.name == "order.placed"', True),
        ('name == "order.placed" && source == "shop" && eventNamespace == "eu" && event.namespace == "eu"', True),
        ("metadata.tries == 2", True),
        # A missing field or a wrong type is no match and no error.
        ("data.nothing == 1", False),
        ("data.nothing.deeper == 1", False),
        ("data.items[5].sku == 'a'", False),
        ("data.currency > 5", False),
        ("data.total / 0 == 1", False),
        # Only true matches.
        ("data.total", False),
        ('"true"', False),
        ("null", False),
    ],
)
def test_whether_an_event_matches(source: str, expected: bool) -> None:
    about = {"name": "order.placed", "source": "shop", "namespace": "eu", "metadata": {"tries": 2}}

    assert expression(source).matches(ORDER, **about) is expected


@pytest.mark.parametrize(
    ("data", "source", "expected"),
    [
        ({"n": 2**63}, "data.n > 9223372036854775807.0 || data.n == 9223372036854775808.0", True),
        ({"n": 10**30}, "data.n > 5", True),
        ({"n": -(10**30)}, "data.n < 5", True),
        ({"n": 10**400}, "data.n > 5", True),
        ({"n": -(10**400)}, "data.n < 5", True),
        ({"n": 1, "other": [{"deep": 10**400}]}, "data.n == 1", True),
        ({"n": 2**63 - 1}, "data.n == 9223372036854775807", True),
        ({"n": -(2**63)}, "data.n == -9223372036854775808", True),
    ],
)
def test_numbers_too_large_for_cel_still_compare(data: Any, source: str, expected: bool) -> None:
    assert expression(source).matches(data) is expected


@pytest.mark.parametrize("data", [None, 1, 1.5, "text", True, [], [1], {}, {"": {"": None}}])
def test_data_of_any_shape_is_looked_at(data: Any) -> None:
    assert expression("data.a == 1").matches(data) is False
    assert expression("data == data").matches(data) is True


@pytest.mark.parametrize(
    "source",
    ["", "data.total >", "data.total = 1", "foo == 1", "data..x", "(" * 500 + "1" + ")" * 500, "data.size(", "1 +* 2"],
)
def test_what_is_no_expression_is_refused(source: str) -> None:
    with pytest.raises(InvalidExpression):
        expression(source)


def test_a_very_long_expression_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidExpression, match=str(EXPRESSION_CHARS_MAX)):
        expression("1 == 1 || " * 1000 + "true")


HUNDRED = "[" + ",".join(str(number) for number in range(100)) + "]"


@pytest.mark.parametrize(
    "source",
    [
        "{h}.map(a, {h}.map(b, {h}.map(c, {h}.map(d, a * b * c * d)))).size() > 0",
        "data.r.map(a, data.r.map(b, data.r.map(c, data.r.map(d, a * b * c * d)))).size() > 0",
        "data.r.all(a, data.r.all(b, data.r.all(c, data.r.all(d, a + b + c + d >= 0))))",
        "data.r.exists(a, data.s.matches('(a+)+$'))",
    ],
)
def test_a_hundred_million_iterations_end_quickly_without_a_match(source: str) -> None:
    source = source.replace("{h}", HUNDRED)
    started = time.process_time()

    assert expression(source).matches({"r": list(range(100)), "s": "a" * 5000 + "b"}) is False

    assert time.process_time() - started < 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from(["data.a == 1", "data[0] > 5", "size(data) > 0", "data == data", "has(data.a)"]))
def test_no_data_makes_an_expression_fail(data: Any, source: str) -> None:
    assert expression(source).matches(data) in (True, False)


HOSTILE = "data.s.matches('(a{0,100}){0,10}(x+x+)+y')"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data.total > 100 && name == 'a'", "cheap"),
        ("data.email.matches('.*@shop[.]example')", "moderate"),
        ('data.email.matches("^E.R$")', "moderate"),
        ("data.items.exists(item, item.sku == 'a')", "moderate"),
        (HOSTILE, "dear"),
        ("data.s.matches(data.pattern)", "dear"),
        ("data.s.matches('a' + 'b{9}')", "dear"),
        ("data.a.all(x, data.b.exists(y, x == y))", "dear"),
    ],
)
def test_how_dear_an_expression_may_be(source: str, expected: str) -> None:
    assert cost_of(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data.total > 1 && event.data.rate < 2", {"total", "rate"}),
        ("name == 'data.x'", {"x"}),
        ("size(data) > 1", None),
        ("data['total'] > 1", None),
        ("event['data'].total > 1", None),
        ("name == 'a'", set()),
    ],
)
def test_which_fields_of_the_data_an_expression_reads(source: str, expected: set[str] | None) -> None:
    assert fields_of(source) == expected


def test_only_the_fields_that_an_expression_reads_are_converted() -> None:
    class Heavy:
        """No value that the library could convert."""

    assert expression("data.n == 5").matches({"n": 5, "rest": Heavy()}) is True
