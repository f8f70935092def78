"""Functions are registered, versioned, listed, switched and forgotten."""

from typing import Any

import pytest

from ironflow.base.spelling import BadField
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import (
    ExecutionMode,
    FunctionNotFound,
    FunctionStatus,
    InvalidFunction,
    Registered,
)
from tests.support.work import Work

CHARGE = {
    "id": "charge",
    "name": "Charge a card",
    "description": "Takes the money.",
    "triggers": [{"event": "order.placed", "expression": "data.total > 0"}, {"cron": "*/5 * * * *", "timezone": "UTC"}],
    "retry": {
        "maxAttempts": 5,
        "initial_delay_ms": 10,
        "backoffFactor": 1.5,
        "max_delay_ms": 99,
        "onExhausted": "pause",
    },
    "timeoutMs": 60_000,
    "concurrency": {"limit": 3, "key": "event.data.customerId"},
    "debounce": {"periodMs": 1_000, "key": "orderId", "maxWaitMs": "5000"},
    "throttle": {"limit": 1, "period_ms": 1_000},
    "circuitBreaker": {"failureThreshold": 5},
    "actorKey": "data.customerId",
    "secrets": ["STRIPE_KEY"],
    "recording": True,
    "metadata": {"__ironflow_code_hash": "0123456789abcdef", "team": {"name": "payments"}, "big": 2**70},
    "cancelOn": [{"event": "order.cancelled", "match": "orderId"}],
}


async def register(server: Work, **config: Any) -> Registered:
    return await server.call(functions.register, **config)


async def test_a_function_is_created_once_and_registering_the_same_again_changes_nothing(server: Work):
    first = await register(server, **CHARGE)
    server.move(1_000)
    again = await register(server, **CHARGE)

    assert first.created is True
    assert again.created is False
    assert again.function == first.function
    assert (await server.call(functions.get, id="charge")) == first.function
    assert (await server.call(functions.list_)).functions == [first.function]


async def test_everything_that_was_registered_is_shown(server: Work):
    shown = (await register(server, **CHARGE)).function

    assert shown.name == "Charge a card"
    assert [(each.event, each.expression, each.cron) for each in shown.triggers] == [
        ("order.placed", "data.total > 0", ""),
        ("", "", "*/5 * * * *"),
    ]
    assert shown.retry is not None
    assert (shown.retry.max_attempts, shown.retry.backoff_factor, shown.retry.on_exhausted) == (5, 1.5, "pause")
    assert shown.timeout_ms == 60_000
    assert shown.concurrency is not None
    assert (shown.concurrency.limit, shown.concurrency.key) == (3, "event.data.customerId")
    assert shown.debounce is not None
    assert shown.debounce.max_wait_ms == 5_000
    assert shown.code_hash == "0123456789abcdef"
    assert bytes(shown.metadata["team"]) == b'{"name":"payments"}'
    assert bytes(shown.metadata["big"]) == str(2**70).encode()
    assert (shown.status, shown.preferred_mode, shown.version) == (FunctionStatus.ACTIVE, ExecutionMode.PULL, 1)


async def test_the_version_rises_when_the_configuration_changes_and_only_then(server: Work):
    await register(server, id="charge", triggers=[{"event": "a"}])
    changed = await register(server, id="charge", triggers=[{"event": "b"}])
    same = await register(server, id="charge", triggers=[{"event": "b"}])
    hashed = await register(server, id="charge", triggers=[{"event": "b"}], metadata={"__ironflow_code_hash": "ff"})

    assert [(each.function.version, each.created) for each in (changed, same, hashed)] == [
        (2, False),
        (2, False),
        (3, False),
    ]


async def test_a_new_version_keeps_the_status_and_the_time_of_creation(server: Work):
    first = (await register(server, id="charge")).function
    await server.call(functions.update_status, id="charge", status="paused")
    server.move(60_000)

    second = (await register(server, id="charge", description="new")).function

    assert (second.status, second.version) == (FunctionStatus.PAUSED, 2)
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at


MODES: list[tuple[dict[str, Any], str]] = [
    ({}, "pull"),
    ({"endpoint_url": "https://example.com/hook"}, "push"),
    ({"preferred_mode": "EXECUTION_MODE_PULL", "endpoint_url": "https://example.com/hook"}, "pull"),
    ({"preferredMode": "push", "endpointUrl": "https://example.com/hook"}, "push"),
    ({"preferredMode": 2}, "pull"),
    ({"preferredMode": "EXECUTION_MODE_PUSH"}, "pull"),
    ({"preferred_mode": "push"}, "pull"),
    ({"preferredMode": ""}, "pull"),
    ({"preferredMode": "EXECUTION_MODE_PUSH"}, "pull"),
]


async def test_the_mode_follows_from_the_endpoint_unless_it_is_given(server: Work):
    for given, mode in MODES:
        shown = (await register(server, id="charge", **given)).function
        assert shown.preferred_mode == ExecutionMode(mode), given


async def test_rest_has_short_enum_names_and_rpc_those_of_protobuf(server: Work):
    """Source: protocol/connectrpc.md 4."""
    await register(server, id="charge")
    async with server.http() as client:
        for path in ("/api/v1/functions", "/api/v1/functions/charge"):
            answer = (await client.get(path)).json()
            found = answer["functions"][0] if "functions" in answer else answer
            assert [found[each] for each in ("preferred_mode", "preferredMode", "status")] == ["pull", "pull", "active"]
        for headers in ({}, {"connect-protocol-version": "1"}, {"user-agent": "Go-http-client/1.1"}):
            rpc = "/ironflow.v1.IronflowService/GetFunction"
            found = (await client.post(rpc, json={"id": "charge"}, headers=headers)).json()
            assert (found["preferredMode"], found["status"]) == ("EXECUTION_MODE_PULL", "FUNCTION_STATUS_ACTIVE")


NOT_VALID: list[tuple[dict[str, Any], str]] = [
    ({"id": ""}, "function id"),
    ({"id": "two tokens"}, "function id"),
    ({"id": "all*"}, "function id"),
    ({"id": "all>"}, "function id"),
    ({"id": "tab\t"}, "function id"),
    ({"id": "a..b"}, "dots"),
    ({"id": ".a"}, "dots"),
    ({"id": "a."}, "dots"),
    ({"id": "é" * 200}, "function id"),
    ({"triggers": [{}]}, "neither an event nor a cron"),
    ({"triggers": [{"event": "a"}, {"event": "a", "expression": "data.total >"}]}, "triggers[1]"),
    ({"triggers": [{"event": "a.>.b"}]}, "not at the end"),
    ({"triggers": [{"cron": "* * *"}]}, "3 fields"),
    ({"triggers": [{"cron": "61 * * * *"}]}, "not a cron expression"),
    ({"triggers": [{"cron": "* * * * *", "timezone": "Mars/Olympus"}]}, "time zone"),
    ({"retry": {"on_exhausted": "panic"}}, "on_exhausted"),
    ({"retry": {"max_attempts": 10**9}}, "1000000"),
    ({"pause_behavior": "stop"}, "write hold or release"),
    ({"concurrency": {"limit": 0, "key": "a"}}, "concurrency.limit is 0"),
    ({"cancel_on": [{"event": "order.cancelled"}]}, "cancel_on[0] has no match"),
    ({"cancel_on": [{"event": "a", "match": "b"}, {"event": " ", "match": "b"}]}, "cancel_on[1] has no event"),
    ({"debounce": {"period_ms": 10}}, "1000 is the least"),
    ({"debounce": {"period_ms": 5_000, "max_wait_ms": 1_000}}, "max_wait_ms"),
    ({"throttle": {"limit": 0, "period_ms": 1_000}}, "throttle.limit is 0"),
    ({"throttle": {"limit": 1}}, "throttle.period_ms is 0; 1000 is the least"),
    ({"throttle": {"limit": 1, "period_ms": 999}}, "1000 is the least"),
    ({"secrets": ["stripe", ""]}, "secrets has an empty name"),
    ({"description": "x" * 300_000}, "limit"),
]


async def test_an_invalid_configuration_is_refused_with_the_path_of_the_fault(server: Work):
    for config, expected in NOT_VALID:
        with pytest.raises(InvalidFunction) as refusal:
            await register(server, **{"id": "charge", **config})
        assert expected in refusal.value.message

    assert (await server.call(functions.list_)).functions == []


async def test_slashes_dots_and_letters_of_any_language_are_legal_in_an_id(server: Work):
    for function_id in ("fraud/evaluate", "a.b-c_d", "Prüfung", "x" * 256, "a/b/c", "100%"):
        await register(server, id=function_id)
        assert (await server.call(functions.get, id=function_id)).id == function_id


async def test_functions_are_listed_by_id_in_pages(server: Work):
    for name in ("c", "a", "e", "b", "d"):
        await register(server, id=name)

    pages: list[list[str]] = []
    cursor = ""
    while True:
        page = await server.call(functions.list_, limit=2, cursor=cursor)
        assert page.total_count == 5
        pages.append([each.id for each in page.functions])
        cursor = page.next_cursor or ""
        if not cursor:
            break

    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert [each.id for each in (await server.call(functions.list_, offset=3)).functions] == ["d", "e"]


async def test_the_list_is_narrowed_by_status_name_and_mode(server: Work):
    await register(server, id="charge", name="Charge a card", triggers=[{"event": "ship.it"}])
    await register(server, id="ship", name="Send the parcel")
    await register(server, id="hook", endpoint_url="https://example.com/hook", metadata={"preferred_mode": "pull"})
    await register(server, id="old")
    await server.call(functions.update_status, id="old", status="FUNCTION_STATUS_ARCHIVED")

    async def ids(**filters: Any) -> list[str]:
        answer = await server.call(functions.list_, **filters)
        assert answer.total_count == len(answer.functions)
        return [each.id for each in answer.functions]

    assert await ids() == ["charge", "hook", "old", "ship"]
    assert await ids(status="archived") == ["old"]
    assert await ids(status="active") == ["charge", "hook", "ship"]
    assert await ids(name="CARD") == ["charge"]
    assert await ids(name="shi") == ["ship"]
    assert await ids(mode="push") == ["hook"]
    assert await ids(mode="EXECUTION_MODE_PULL") == ["charge", "old", "ship"]


async def test_pages_of_a_narrowed_list_are_full(server: Work):
    for number in range(6):
        await register(server, id=f"pull-{number}")
        await register(server, id=f"push-{number}", endpoint_url="https://example.com/hook")

    page = await server.call(functions.list_, mode="push", limit=4)

    assert [each.id for each in page.functions] == ["push-0", "push-1", "push-2", "push-3"]
    assert page.total_count == 6
    rest = await server.call(functions.list_, mode="push", limit=4, cursor=page.next_cursor)
    assert [each.id for each in rest.functions] == ["push-4", "push-5"]
    assert rest.next_cursor is None


async def test_a_deleted_function_is_not_found_and_can_be_registered_anew(server: Work):
    await register(server, id="charge", triggers=[{"event": "order.placed"}])
    run_id = (await server.emit()).run_ids[0]

    await server.call(functions.delete, id="charge")

    with pytest.raises(FunctionNotFound):
        await server.call(functions.get, id="charge")
    with pytest.raises(FunctionNotFound):
        await server.call(functions.delete, id="charge")
    assert (await server.call(functions.list_)).functions == []
    assert (await server.emit()).run_ids == []
    assert (await server.run(run_id)).function_id == "charge"

    again = await register(server, id="charge", triggers=[{"event": "order.placed"}])
    assert (again.created, again.function.version) == (True, 2)
    assert len((await server.emit()).run_ids) == 1


async def test_a_function_that_is_not_active_starts_no_new_runs(server: Work):
    await server.a_function()
    for status in ("paused", "archived"):
        shown = await server.call(functions.update_status, id="charge", status=status)
        assert shown.status == FunctionStatus(status)
        assert (await server.emit()).run_ids == []

        await server.call(functions.update_status, id="charge", status="active")
        assert len((await server.emit()).run_ids) == 1


async def test_an_empty_status_is_refused(server: Work):
    await server.a_function()
    for given in ({}, {"status": ""}, {"status": 0}, {"status": None}, {"status": "FUNCTION_STATUS_UNSPECIFIED"}):
        with pytest.raises(BadField, match="status"):
            await server.ask(functions.update_status, {"id": "charge", **given})


async def test_environments_do_not_see_each_others_functions(server: Work):
    await server.call(functions.register, id="charge", env="staging")

    assert (await server.call(functions.list_)).functions == []
    with pytest.raises(FunctionNotFound):
        await server.call(functions.get, id="charge")
    assert [each.id for each in (await server.call(functions.list_, env="staging")).functions] == ["charge"]


async def test_what_can_never_fire_is_registered_and_named(server: Work, caplog: pytest.LogCaptureFixture):
    config = {
        "id": "charge",
        "triggers": [{"event": "order..placed"}, {"event": "order.paid"}],
        "cancel_on": [{"event": "order.cancelled.", "match": "orderId"}],
    }
    caplog.set_level("WARNING", "ironflow.features.functions")

    registered = await register(server, **config)
    await register(server, **config)

    warnings = [
        "trigger 'order..placed' never matches: no event's name has an empty part. Write 'order.placed'.",
        "cancel_on 'order.cancelled.' never matches: no event's name has an empty part. Write 'order.cancelled'.",
    ]
    assert registered.function.warnings == warnings
    assert (await server.call(functions.get, id="charge")).warnings == warnings
    # Once, although workers register their functions whenever they connect.
    lines = [each for each in caplog.records if each.msg == "registered without effect"]
    assert [each.__dict__["warning"] for each in lines] == warnings
    assert (await register(server, **CHARGE)).function.warnings == []
