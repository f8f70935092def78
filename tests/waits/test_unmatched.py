"""`Unmatched`: many waits, and the events that end them."""

from typing import Any

import pytest

from ironflow.base.json import write_json_text
from ironflow.base.path import MISSING, value_text
from ironflow.features.waits import rules
from ironflow.features.waits.rules import Unmatched, Wait
from ironflow.log.record import Record


def a_wait(step_id: str, path: str = "", value: Any = MISSING, expression: str = "") -> Wait:
    return Wait("run_1", "wait", step_id, "default", "paid", path, value_text(value), expression)


def an_event(data: Any) -> Record:
    return Record(
        id="evt_1", environment="default", kind="event", name="paid", data=write_json_text(data), created_at=0
    )


def test_each_is_taken_once_by_the_first_event_that_it_is_for():
    waits = [
        a_wait("any"),
        a_wait("one", "n", 1),
        a_wait("one again", "n", 1),
        a_wait("two", "n", 2),
        a_wait("other path", "m", 1),
        a_wait("also", "n", 1, "data.big"),
        a_wait("nothing to compare with", "n"),
    ]
    unmatched = Unmatched(waits)

    taken = [[wait.step_id for wait in unmatched.take(an_event(data))] for data in ({"n": 1}, {"n": 1}, {"m": 1})]
    assert taken == [["any", "one", "one again"], [], ["other path"]]
    assert unmatched.any().step_id in ("two", "also")
    assert [wait.step_id for wait in unmatched.take(an_event({"n": 1, "big": True}))] == ["also"]
    assert [wait.step_id for wait in unmatched.take(an_event({"n": 2}))] == ["two"]
    assert not unmatched


def test_an_event_is_decoded_once_however_many_wait(monkeypatch: pytest.MonkeyPatch):
    decoded: list[str] = []

    def decode(text: str) -> Any:
        decoded.append(text)
        return read_json(text)

    read_json = rules.read_json
    monkeypatch.setattr(rules, "read_json", decode)
    unmatched = Unmatched([a_wait(f"n{number}", "n", number) for number in range(1_000)])

    assert [wait.step_id for wait in unmatched.take(an_event({"n": 500}))] == ["n500"]
    assert len(decoded) == 1
