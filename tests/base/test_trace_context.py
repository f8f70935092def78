"""W3C Trace Context: what is taken, what is not, and where it is kept."""

import json
from typing import Any

import pytest

from ironflow.base.trace_context import (
    TraceContext,
    of_mapping,
    of_metadata,
    parsed,
    run_span_id,
    run_trace_id,
    with_trace,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
CONTEXT = TraceContext(TRACE, SPAN, sampled=True, state="vendor=1")


@pytest.mark.parametrize(
    ("parent", "state", "expected"),
    [
        (PARENT, "", TraceContext(TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-00", "", TraceContext(TRACE, SPAN, sampled=False)),
        (f"00-{TRACE}-{SPAN}-03", "", TraceContext(TRACE, SPAN)),
        (f" {PARENT} ", "vendor=1 ", CONTEXT),
        # A later version may have more at its end.
        (f"cc-{TRACE}-{SPAN}-01-more", "", TraceContext(TRACE, SPAN)),
        (f"{PARENT}-more", "", None),
        (f"ff-{TRACE}-{SPAN}-01", "", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", "", None),
        (f"00-{'0' * 32}-{SPAN}-01", "", None),
        (f"00-{TRACE}-{'0' * 16}-01", "", None),
        (f"00-{TRACE}-{SPAN}", "", None),
        ("", "", None),
        ("x" * 600, "", None),
        (None, "", None),
        (7, "", None),
        (PARENT, "a" * 513, TraceContext(TRACE, SPAN)),
        (PARENT, "line\nbreak", TraceContext(TRACE, SPAN)),
        (PARENT, ["a=1"], TraceContext(TRACE, SPAN)),
    ],
)
def test_a_context_is_taken_when_it_is_valid(parent: Any, state: Any, expected: TraceContext | None):
    assert parsed(parent, state) == expected


def test_what_is_written_is_read_again():
    assert of_mapping(CONTEXT.fields()) == CONTEXT
    assert CONTEXT.fields() == {"traceparent": PARENT, "tracestate": "vendor=1"}
    assert TraceContext(TRACE, SPAN, sampled=False).fields() == {"traceparent": f"00-{TRACE}-{SPAN}-00"}


@pytest.mark.parametrize("fields", [None, [], "traceparent", {}, {"traceparent": None}, {"traceparent": "x"}])
def test_other_metadata_names_no_span(fields: Any):
    assert of_mapping(fields) is None
    assert of_metadata(json.dumps(fields)) is None


def test_metadata_keeps_its_keys_and_a_context_of_its_own():
    added = with_trace('{"a": [1, 12345678901234567890]}', CONTEXT)
    assert added is not None
    assert json.loads(added) == {"a": [1, 12345678901234567890], "traceparent": PARENT, "tracestate": "vendor=1"}
    own = '{"traceparent": "mine"}'
    assert with_trace(own, CONTEXT) == own
    assert with_trace(None, CONTEXT) is not None
    assert with_trace(None, None) is None
    assert with_trace('{"a":1}', None) == '{"a":1}'


def test_the_ids_of_a_run_are_its_own_and_always_the_same():
    runs = [f"run_{number}" for number in range(1000)]
    assert {len(run_span_id(each)) for each in runs} == {16}
    assert {len(run_trace_id(each)) for each in runs} == {32}
    assert len({run_span_id(each) for each in runs} | {run_trace_id(each) for each in runs}) == 2000
    assert parsed(TraceContext(run_trace_id("run_1"), run_span_id("run_1")).parent) is not None
