"""What is computed of runs: classes and patterns of errors, slices, groups."""

import pytest

from ironflow.base.time import to_datetime
from ironflow.features.runs.in_tx import Started
from ironflow.features.statistics import rules
from ironflow.features.statistics.rules import RunLine
from ironflow.log.emitters import Emitted

PYTHON_STACK = """Traceback (most recent call last):
  File "/app/shop.py", line 24, in charge
    raise CardDeclined("no money")
shop.bank.CardDeclined: no money

The above exception was the direct cause of the following exception:

ironflow.base.errors.StepError: no money
"""


def a_run(number: int, status: str = "completed", **more: object) -> RunLine:
    values = {"function_id": "pay", "version": 1, "created_at": number * 100, "ended_at": number * 100 + number}
    return RunLine(id=f"run_{number}", status=status, **{**values, **more})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("card 4242 declined", "card … declined"),
        ("order ord_01J9 of 'Ann' failed", "order … of … failed"),
        ("no route to 10.0.0.1:80", "no route to ….….….…:…"),
        ("same\nsecond line", "same"),
        ("", ""),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_pattern_leaves_out_what_differs(message: str, pattern: str):
    assert rules.message_pattern(message) == pattern


@pytest.mark.parametrize(
    ("message", "code", "stack", "expected"),
    [
        ("no money", "STEP_FAILED", PYTHON_STACK, "CardDeclined"),
        ("no money", "", "TypeError: no money\n    at pay (pay.ts:7:3)", "TypeError"),
        ("other", "WAIT_TIMEOUT", PYTHON_STACK, "WAIT_TIMEOUT"),
        ("other", "", "", "Error"),
    ],
)
def test_the_class_is_that_of_the_cause(message: str, code: str, stack: str, expected: str):
    assert rules.error_class(message, code, stack) == expected


def test_runs_are_counted_in_the_slice_of_their_creation():
    runs = [a_run(9, "running", ended_at=None), a_run(3, "failed"), a_run(0)]

    found = rules.run_slices(runs, since=0, until=1000, slices=2)

    assert [(each.completed, each.failed, each.unfinished) for each in found] == [(1, 1, 0), (0, 0, 1)]


def test_functions_with_failures_come_first():
    runs = [a_run(9, "failed", message="bad"), a_run(8), a_run(7, function_id="ship")]

    pay, ship = rules.by_function(runs)

    assert (pay.function_id, pay.runs, pay.failed, pay.latest_error) == ("pay", 2, 1, "bad")
    assert (pay.p50_ms, pay.p99_ms) == (9, 9)
    assert (ship.function_id, ship.failed, ship.latest_error) == ("ship", 0, None)


def test_failures_of_one_cause_are_one_group():
    runs = [
        a_run(9, "failed", message="card 12 declined", version=2, step="charge"),
        a_run(4, "failed", message="card 11 declined", step="charge"),
        a_run(3, "failed", message="card 11 declined", step="refund"),
    ]

    charge, refund = rules.failure_groups(runs, since=0, until=1000, slices=2)

    assert (charge.count, charge.counts, charge.versions) == (2, [1, 1], [1, 2])
    assert (charge.latest_run_id, charge.latest_message) == ("run_9", "card 12 declined")
    assert (charge.first_at, charge.last_at) == (to_datetime(404), to_datetime(909))
    assert (refund.step, refund.count) == ("refund", 1)
    assert charge.id != refund.id


def test_no_values_have_no_quantile():
    assert rules.quantile([], 0.5) is None
    assert rules.quantile([1, 2, 3, 4], 0.99) == 4


def test_flows_are_what_runs_were_started_by_and_what_they_emitted():
    started = [
        Started("run_3", "ship", "", "completed", "pay"),
        Started("run_2", "pay", "order.placed", "failed", None),
        Started("run_1", "pay", "order.placed", "completed", None),
        Started("run_0", "tick", "", "completed", None),
    ]
    emitted = [
        Emitted(3, "topic", "mail", "run_3"),
        Emitted(2, "event", "order.placed", None),
        Emitted(1, "event", "order.placed", "api"),
    ]

    flows, names = rules.flows_of(started, emitted, {"run_3": "ship"})

    assert [(each.source, each.target, each.count, each.failed) for each in flows] == [
        ("order.placed", "pay", 2, 1),
        ("pay", "ship", 1, 0),
        ("ship", "mail", 1, 0),
    ]
    assert [(each.kind, each.name, each.count) for each in names] == [
        ("event", "order.placed", 2),
        ("topic", "mail", 1),
    ]
