"""Which events a wait is for: a table of names, paths, values and expressions, asked of the whole server."""

from typing import Any, NamedTuple

import pytest

from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.support.work import Work
from tests.support.yields import waits_for


class Case(NamedTuple):
    """own: data of the event that started the run. wait: the filter. came: name, data and more of a later event."""

    about: str
    own: Any
    wait: dict[str, Any]
    came: dict[str, Any]
    matches: bool


def path(about: str, own: Any, match: str, came: Any, matches: bool) -> Case:
    return Case(about, own, {"event": "reply", "match": match}, {"event": "reply", "data": came}, matches)


def named(pattern: str, name: str, matches: bool) -> Case:
    return Case(f"{pattern} for {name}", None, {"event": pattern}, {"event": name}, matches)


def given(about: str, value: str, came: Any, matches: bool) -> Case:
    wait = {"event": "reply", "match": "data.ref", "match_value": value}
    return Case(about, {"ref": "its own"}, wait, {"event": "reply", "data": came}, matches)


def cel(expression: str, matches: bool, came: Any = None, **more: Any) -> Case:
    wait = {"event": "reply", "match": expression}
    return Case(expression, None, wait, {"event": "reply", "data": came, **more}, matches)


CASES = [
    named("reply", "reply", True),
    named("  reply  ", "reply", True),
    named("reply", "replay", False),
    named("reply", "reply.late", False),
    named("reply.*", "reply.late", True),
    named("reply.*", "reply.very.late", False),
    named("reply.>", "reply.very.late", True),
    named("reply.>", "reply", False),
    named("*.late", "reply.late", True),
    named(">", "anything.at.all", True),
    path("equal numbers", {"ref": 7}, "ref", {"ref": 7}, True),
    path("other numbers", {"ref": 7}, "ref", {"ref": 8}, False),
    path("data. before it", {"ref": 7}, "data.ref", {"ref": 7}, True),
    path("event.data. before it", {"ref": 7}, "event.data.ref", {"ref": 7}, True),
    path("$. before it", {"ref": 7}, "$.ref", {"ref": 7}, True),
    path("$.data. before it", {"ref": 7}, "$.data.ref", {"ref": 7}, True),
    path("deep", {"order": {"id": "a"}}, "data.order.id", {"order": {"id": "a"}}, True),
    path("in a list", {"items": [{"sku": "a"}]}, "items.0.sku", {"items": [{"sku": "a"}, {"sku": "b"}]}, True),
    path("numbers and texts are compared as texts", {"ref": 7}, "ref", {"ref": "7"}, True),
    path("true and the text true", {"ref": True}, "ref", {"ref": "true"}, True),
    path("whole objects", {"ref": {"a": 1}}, "ref", {"ref": {"a": 1}}, True),
    path("huge integers are exact", {"ref": 2**64}, "ref", {"ref": 2**64 + 1}, False),
    path("letters of another case", {"ref": "A"}, "ref", {"ref": "a"}, False),
    path("null and null", {"ref": None}, "ref", {"ref": None}, True),
    path("missing here", {}, "ref", {"ref": 7}, False),
    path("missing there", {"ref": 7}, "ref", {}, False),
    path("missing on both sides", {}, "ref", {}, False),
    path("missing here, empty there", {}, "ref", {"ref": ""}, False),
    path("no data at all", None, "ref", {"ref": 7}, False),
    path("data that is no object", 7, "ref", 7, False),
    given("the value that was given", "x", {"ref": "x"}, True),
    given("not the run's own", "x", {"ref": "its own"}, False),
    given("a number there", "7", {"ref": 7}, True),
    given("missing there", "x", {}, False),
    cel("data.total > 100", True, {"total": 101}),
    cel("data.total > 100", False, {"total": 100}),
    cel("data.missing > 100", False, {"total": 101}),
    cel("data.ref == 'x' && data.tags.exists(t, t == 'late')", True, {"ref": "x", "tags": ["late"]}),
    cel("event.data.ref == 'x'", True, {"ref": "x"}),
    cel("metadata.by == 'ada' && name == 'reply'", True, None, metadata={"by": "ada"}),
    cel("data.ref", False, {"ref": "x"}),
]  # fmt: skip


@pytest.mark.parametrize("half", [0, 1], ids=["waiting first", "event first"])
async def test_a_wait_is_for_these_events_and_no_others(server: Work, half: int):
    """Both ways of meeting: the event finds the wait, and the wait finds an event since its execution began."""
    await server.a_function()
    await server.a_worker()
    wrong: list[str] = []
    for case in CASES:
        (run_id,) = (await server.emit(data=case.own)).run_ids
        job = await server.claim()
        filter_ = dict(case.wait)
        wait = waits_for(job, filter_.pop("event"), **filter_)
        if half == 0:
            await server.report(job, "yielded", yielded=wait)
            await server.emit(**case.came)
        else:
            await server.emit(**case.came)
            await server.report(job, "yielded", yielded=wait)
        woken = (await server.run(run_id)).status is RunStatus.PENDING
        if woken is not case.matches:
            wrong.append(f"{case.about}: {'woken' if woken else 'not woken'}")
        if woken:
            await server.report(await server.claim(), "completed")
        else:
            await server.call(runs.cancel, id=run_id)
    assert wrong == []
