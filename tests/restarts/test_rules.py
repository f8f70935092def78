"""What a successor takes over: the rule about slots, as a table."""

from typing import Any

import pytest
from msgspec.structs import replace

from ironflow.engine.commands import Create
from ironflow.engine.decide import decide
from ironflow.engine.model import Policy, Run
from ironflow.features.functions.in_tx import Startable
from ironflow.features.runs.restarting import Slots, decide_slots
from ironflow.features.slots.in_tx import kind_of
from ironflow.log.record import Record

EVENT = Record(
    id="evt_2", environment="default", kind="invoke", name="i", data='{"user":"eve","acct":"b"}', created_at=1
)
LIMITED: dict[str, Any] = {"concurrency_limit": 1, "concurrency_key": "user"}


def a_run(**fields: Any) -> Run:
    created = Create(
        run_id="run_1", environment="default", function_id="chat", function_version=1, event_id="evt_1",
        event_name="e", policy=Policy(),
    )  # fmt: skip
    return replace(decide(None, created, 0).run, **fields)


def a_function(**fields: Any) -> Startable:
    return Startable(environment="default", id="chat", version=2, status="active", policy=Policy(), **fields)


@pytest.mark.parametrize(
    ("run", "function", "slots"),
    [
        pytest.param({}, {}, (None, None, None, ""), id="no limits"),
        pytest.param({"slot_key": "key:ada"}, LIMITED, (None, "key:ada", None, ""), id="same limit"),
        pytest.param(
            {"slot_key": "scope:pay/ada", "hold": "run"},
            {**LIMITED, "concurrency_scope": "pay", "holds_run": True},
            (None, "scope:pay/ada", None, "kept"),
            id="held to its end",
        ),
        pytest.param(
            {"slot_key": "scope:pay/ada", "hold": "run"},
            {**LIMITED, "concurrency_scope": "pay"},
            (None, "scope:pay/ada", None, ""),
            id="not held any more",
        ),
        pytest.param(
            {"slot_key": "scope:pay/ada", "hold": "run"},
            {**LIMITED, "concurrency_scope": "chats", "holds_run": True},
            (None, "scope:chats/eve", None, "run"),
            id="another scope",
        ),
        pytest.param({"slot_key": "key:ada"}, {}, (None, None, None, ""), id="limit taken away"),
        pytest.param({}, LIMITED, (None, "key:eve", None, ""), id="limit added"),
        pytest.param(
            {"slot_key": "actor:a", "actor_id": "a"}, {"actor_key": "acct"}, ("a", "actor:a", None, ""), id="same actor"
        ),
        pytest.param(
            {"slot_key": "actor:a", "actor_id": "a"},
            {"actor_key": "acct", **LIMITED},
            ("b", "actor:b", "key:eve", ""),
            id="a limit beside the actor",
        ),
        pytest.param(
            {"slot_key": "key:ada", "hold": "run"}, None, (None, "key:ada", None, "kept"), id="function not registered"
        ),
    ],
)
def test_slots_go_along_while_the_function_has_the_same_limits(
    run: dict[str, Any], function: dict[str, Any] | None, slots: tuple[Any, ...]
):
    found = decide_slots(a_run(**run), None if function is None else a_function(**function), EVENT)
    assert found == Slots(*slots)


def test_kinds_of_slots():
    assert [kind_of(each) for each in (None, "actor:a:b", "key:", "scope:pay/x:y")] == ["", "actor", "key", "scope:pay"]
