"""Bars and texts of `ironflow run get`."""

import msgspec
import pytest
from rich.console import Console

from ironflow.base.json import Json
from ironflow.base.time import to_datetime
from ironflow.cli.run.overview import run_page, runs_table
from ironflow.cli.run.timeline import ASCII, bar_place, changes, run_span, timeline, waiting_text
from ironflow.cli.terminal.output import failure_text
from ironflow.features.runs.contract import Run, RunStatus, Step, StepStatus, StepType, WireError

T = 1_767_225_600_000


def at(ms):
    return to_datetime(T + ms)


def a_run(**changed):
    made = Run(
        id="run_1",
        function_id="process-order",
        event_id="evt_1",
        event_name="order.placed",
        status=RunStatus.COMPLETED,
        attempt=1,
        max_attempts=3,
        created_at=at(0),
        updated_at=at(400),
        started_at=at(0),
        ended_at=at(400),
    )
    return msgspec.structs.replace(made, **changed)


def a_step(name, start, end, **changed):
    made = Step(
        id=f"step_{name}",
        run_id="run_1",
        step_id=f"run_1:{name}:0",
        name=name,
        step_type=StepType.INVOKE,
        sequence=0,
        status=StepStatus.COMPLETED,
        started_at=at(start),
        ended_at=None if end is None else at(end),
    )
    return msgspec.structs.replace(made, **changed)


def drawn(picture, width=120):
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(picture)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(
    ("start", "end", "place"),
    [
        (0, 100, (0, 10)),
        (0, 50, (0, 5)),
        (50, 100, (5, 5)),
        (55, 56, (5, 1)),
        (100, 100, (9, 1)),
        (-20, 10, (0, 1)),
        (90, 200, (9, 1)),
    ],
)
def test_a_bar_covers_the_time_of_its_step_in_the_run(start, end, place):
    assert bar_place(start, end, 0, 100, columns=10) == place


def test_a_run_without_length_still_has_a_bar():
    assert bar_place(5, 5, 5, 5, columns=10) == (0, 1)


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ({}, "no card"),
        ({"code": "DECLINED"}, "DECLINED: no card"),
        ({"error_class": "CardDeclined"}, "CardDeclined: no card"),
        ({"code": "DECLINED", "error_class": "CardDeclined"}, "DECLINED (CardDeclined): no card"),
    ],
)
def test_an_error_is_shown_with_what_names_it(named, shown):
    assert failure_text(WireError(message="no card", **named)) == shown


def test_a_step_shows_the_line_that_calls_it_in_eighty_columns():
    called = {"source": "/srv/projects/shop/orders.py:42"}
    steps = [a_step("reserve", 0, 100, **called), a_step("charge", 100, 400, attempt=2, source="no line")]

    lines = drawn(timeline(a_run(), steps, T + 400), width=80)

    assert [line.split()[-1] for line in lines[1:]] == ["orders.py:42", "2"]
    assert all(len(line) <= 80 for line in lines)


def test_a_timeline_has_a_row_for_each_step():
    steps = [a_step("reserve", 0, 100), a_step("charge", 100, 400, attempt=2)]

    assert drawn(timeline(a_run(), steps, T + 400, ASCII)) == [
        "   STEP     0                             400 ms    TOOK",
        "+  reserve  =========                             100 ms",
        "+  charge            ===========================  300 ms  attempt 2",
    ]


def test_a_failed_step_shows_its_error_and_a_sleeping_one_until_when():
    steps = [
        a_step("charge", 0, 100, status=StepStatus.FAILED, error=WireError(message="card declined")),
        a_step("rest", 100, None, step_type=StepType.SLEEP, status=StepStatus.SLEEPING, sleep_until=at(60_000)),
    ]
    run = a_run(status=RunStatus.PAUSED, ended_at=None, pause_reason="sleep")

    assert drawn(timeline(run, steps, T + 200, ASCII)) == [
        "   STEP    0                             200 ms    TOOK",
        "x  charge  ==================                    100 ms  card declined",
        "o  rest                      ------------------          until 2026-01-01 00:01:00.000 UTC (in 59 s)",
    ]


def test_a_run_under_way_reaches_until_now():
    run = a_run(status=RunStatus.RUNNING, ended_at=None)

    assert run_span(run, [a_step("charge", 0, None)], T + 900) == (T, T + 900)


@pytest.mark.parametrize(
    ("run", "steps", "text"),
    [
        (a_run(), [], ""),
        (a_run(status=RunStatus.RUNNING, ended_at=None), [], ""),
        (a_run(status=RunStatus.PENDING, ended_at=None), [], "a free worker"),
        (
            a_run(status=RunStatus.PENDING, ended_at=None, attempt=1, next_attempt_at=at(2000)),
            [],
            "attempt 2 of 3 at 2026-01-01 00:00:02.000 UTC (in 2 s)",
        ),
        (
            a_run(status=RunStatus.PENDING, ended_at=None, state="waiting: throttle", next_attempt_at=at(2000)),
            [],
            "its turn to start at 2026-01-01 00:00:02.000 UTC (in 2 s)",
        ),
        (
            a_run(status=RunStatus.PAUSED, ended_at=None, state="paused: injection"),
            [a_step("rest", 0, None, status=StepStatus.SLEEPING, sleep_until=at(2000))],
            "a resume: ironflow run resume run_1",
        ),
        (
            a_run(status=RunStatus.PAUSED, ended_at=None, pause_reason="sleep"),
            [a_step("rest", 0, None, status=StepStatus.SLEEPING, sleep_until=at(2000))],
            "rest sleeps until 2026-01-01 00:00:02.000 UTC (in 2 s)",
        ),
        (
            a_run(status=RunStatus.PAUSED, ended_at=None, pause_reason="wait_event"),
            [a_step("ok", 0, None, status=StepStatus.WAITING, wait_event_name="order.approved")],
            "event order.approved",
        ),
        (
            a_run(status=RunStatus.PAUSED, ended_at=None),
            [a_step("settle", 0, None, status=StepStatus.WAITING, child_run_id="run_2")],
            "the end of run_2 (settle)",
        ),
        (a_run(status=RunStatus.PAUSED, ended_at=None, pause_reason="injection"), [], "injection"),
    ],
)
def test_the_text_for_a_waiting_run(run, steps, text):
    assert waiting_text(run, steps, T) == text


def test_watching_shows_each_change_once_and_the_run_last():
    run = a_run(status=RunStatus.RUNNING, ended_at=None)
    seen, first = changes({}, run, [a_step("charge", 0, 10)])
    seen, second = changes(seen, run, [a_step("charge", 0, 10)])
    seen, third = changes(seen, a_run(), [a_step("charge", 0, 10), a_step("send", 10, 20)])

    assert [each[:2] for each in first] == [("charge", "completed"), ("run", "running")]
    assert second == []
    assert [each[:2] for each in third] == [("send", "completed"), ("run", "completed")]


def test_a_change_has_the_time_at_which_it_happened():
    run = a_run()
    steps = [a_step("charge", 0, 10), a_step("nap", 20, None, status=StepStatus.RUNNING)]

    _, found = changes({}, run, steps)

    assert [each.at for each in found] == [at(10), at(20), run.ended_at]


def test_a_page_of_a_run_shows_its_fields_and_omits_empty_ones():
    run = a_run(input=Json(b'{"id": 7}'), output=Json(b"null"), error=WireError(message="gone", code="X"))

    lines = drawn(run_page(run, [], T + 1000))

    assert lines == [
        "run       run_1",
        "status    completed",
        "function  process-order  version 1",
        "event     order.placed  evt_1",
        "attempt   1 of 3",
        "created   2026-01-01 00:00:00.000 UTC (1 s ago)",
        "took      400 ms",
        "error     X: gone",
        'input     {"id": 7}',
        "output    null",
    ]


def test_long_payloads_are_cut_without_full():
    run = a_run(output=Json(b'"' + b"x" * 1000 + b'"'))

    assert len(drawn(run_page(run, [], T), width=2000)[-1]) < 500
    assert len(drawn(run_page(run, [], T, full=True), width=2000)[-1]) > 1000


def test_runs_are_a_table():
    assert drawn(runs_table([a_run()], T + 60_000)) == [
        "STATUS     RUN    FUNCTION       EVENT         ATTEMPT  CREATED      TOOK",
        "completed  run_1  process-order  order.placed      1/3  1 min ago  400 ms",
    ]


def test_a_run_id_is_never_broken_in_a_narrow_list():
    runs = [a_run(id="run_" + "0" * 26, function_id="shop/fulfil-an-order", event_name="order.placed.by-customer")]

    lines = drawn(runs_table(runs, T), width=80)

    assert any("run_" + "0" * 26 in line for line in lines)
    assert all(len(line) <= 80 for line in lines)
