"""Which entries a trail shows, and what its cursors mean."""

import pytest

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import read_json
from ironflow.engine import commands
from ironflow.features.audit.contract import InvalidCursor
from ironflow.features.audit.rules import (
    END_OF_TIME,
    START,
    Cursor,
    cursor_of,
    cursor_text,
    event_message,
    is_selected,
    kinds_of,
    offset_of,
    time_range,
)
from ironflow.features.time_travel.rules import history
from ironflow.features.time_travel.timeline import KINDS, Entry, entries
from tests.engine.driver import RunDriver, step


def patched() -> Entry:
    """The entry of a patch by `key:apikey_1`."""
    driver = RunDriver()
    driver.report(driver.claim(), "completed", step("reserve", '"old"'))
    driver.do(commands.Patch("run_1:reserve:0", '"new"', "typo", "key:apikey_1"))
    return list(entries(history(enumerate(driver.facts, start=1))))[-1]


@pytest.mark.parametrize(
    ("event_type", "actor", "meant"),
    [
        ("", "", True),
        ("step.patched", "", True),
        ("step.completed", "", False),
        ("", "key:apikey_1", True),
        ("", "key:apikey_2", False),
        ("step.patched", "key:apikey_2", False),
    ],
)
def test_entries_match_by_event_type_and_by_actor(event_type: str, actor: str, meant: bool):
    assert is_selected(patched(), event_type, actor) is meant


def test_an_event_carries_the_entry_and_its_actor():
    event = event_message(patched(), "default", "charge")

    assert (event.run_id, event.function_id, event.step_id, event.environment_id) == (
        "run_1",
        "charge",
        "run_1:reserve:0",
        "default",
    )
    assert (event.event_type, event.metadata) == ("step.patched", {"actor": "key:apikey_1"})
    assert read_json(event.payload) == {
        "step_name": "reserve",
        "step_type": "invoke",
        "status": "completed",
        "sequence": 0,
        "attempt": 1,
        "previous_output": "old",
        "new_output": "new",
        "original_output": "old",
        "reason": "typo",
        "summary": "'reserve' patched by key:apikey_1: typo",
    }


def test_an_event_type_comes_from_certain_kinds_of_facts_and_none_from_all():
    assert kinds_of("step.completed") == {"steps.recorded"}
    assert kinds_of("") == frozenset[str]().union(*KINDS.values())
    assert kinds_of("secret.read") == frozenset()


@pytest.mark.parametrize(
    "cursor", [START, Cursor(1_795_252_295_464, 13, 1, "run_01M7YP04KAEMGGFZX9Z3BBMQA4"), Cursor(0, 1, 0, "a.b")]
)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor):
    assert cursor_of(cursor_text(cursor)) == cursor


def test_no_cursor_is_the_newest():
    assert cursor_of("") == START


@pytest.mark.parametrize(
    "text", ["x", "1", "1.2.run_1", "1.2.x.run_1", "-1.2.3.run_1", f"{10**17}.1.1.run_1", "\u0661.1.1.run_1"]
)
def test_a_text_that_no_list_gave_out_is_no_cursor(text: str):
    with pytest.raises(InvalidCursor, match="Pass next_cursor as it was given"):
        cursor_of(text)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "1" * 17])
def test_a_text_that_no_trail_gave_out_is_no_cursor(text: str):
    with pytest.raises(InvalidCursor):
        offset_of(text)


def test_times_bound_a_trail_and_empty_ones_do_not():
    assert time_range("1970-01-01T00:00:01Z", "1970-01-01T01:00:02+01:00") == (1_000, 2_000)
    assert time_range("", "") == (0, END_OF_TIME)
    with pytest.raises(InvalidArgument, match="is not a time"):
        time_range("yesterday", "")
