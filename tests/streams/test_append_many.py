"""Several appends in one request are one commit: all of them, or none."""

from typing import Any

import pytest

from ironflow import Append, Client
from ironflow.base.errors import IronflowError, VersionConflict
from ironflow.features.events import contract as events
from ironflow.features.events.contract import IdempotencyKeyReused, InvalidEntity, InvalidEvent, StreamDeleted
from ironflow.features.streams import contract as streams
from ironflow.features.streams import rules
from ironflow.features.streams.contract import InvalidAppends
from ironflow.testing.app_transport import AppTransport
from tests.support.keys import open_guarded
from tests.support.work import Work


def one(entity: str, name: str = "account.changed", **more: Any) -> dict[str, Any]:
    return {"entity_id": entity, "entity_type": "account", "event_name": name, "data": {"n": 1}, **more}


async def append(server: Work, *appends: dict[str, Any], **more: Any) -> list[streams.Appended]:
    return (await server.call(streams.append_many, appends=list(appends), **more)).appended


async def versions(server: Work, entity: str) -> list[int]:
    found = await server.call(streams.read, entity_id=entity)
    return [event.entity_version for event in found.events]


async def test_events_of_several_streams_get_versions_and_positions_in_their_order(server: Work):
    await server.a_function(on="account.opened")
    appended = await append(
        server,
        one("a", "account.opened", expected_version=0),
        one("b", expected_version=0),
        one("a", expected_version=1),
        one("a"),
    )

    assert [each.entity_version for each in appended] == [1, 1, 2, 3]
    assert [each.sequence for each in appended] == [1, 2, 3, 4]
    assert [len(each.run_ids) for each in appended] == [1, 0, 0, 0]
    assert (await versions(server, "a"), await versions(server, "b")) == ([1, 2, 3], [1])


async def test_one_refused_event_refuses_all_and_is_named(server: Work):
    await server.a_function(on="account.changed")
    await append(server, one("b", "account.opened"))

    with pytest.raises(VersionConflict, match=r"Event 1 of the request, for the stream of 'b', is refused") as refused:
        await append(server, one("a"), one("b", expected_version=7), one("c"))

    assert refused.value.details == {"index": 1, "entity_id": "b", "current_version": 1, "expected_version": 7}
    assert await server.runs() == []
    assert (await versions(server, "a"), await versions(server, "b")) == ([], [1])
    assert [each.entity_id for each in (await server.call(streams.list_)).streams] == ["b"]
    assert len((await server.call(events.list_)).events) == 1


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"event_name": "$own"}, InvalidEvent),
        ({"entity_id": "a b"}, InvalidEntity),
        ({"entity_id": "new", "entity_type": ""}, InvalidEntity),
        ({"entity_id": "gone"}, StreamDeleted),
    ],
)
async def test_an_event_that_cannot_be_appended_is_refused_as_a_single_append_is(
    server: Work, bad: dict[str, Any], error: type[IronflowError]
):
    await append(server, one("gone"))
    await server.call(streams.delete, entity_id="gone")

    with pytest.raises(error) as refused:
        await append(server, one("a"), {**one("b"), **bad})

    assert refused.value.details["index"] == 1
    assert await versions(server, "a") == []


async def test_a_repeated_request_is_answered_as_the_first_one_was(server: Work):
    request = (one("a", expected_version=0), one("b", expected_version=0))
    first = await append(server, *request, idempotency_key="k")
    await append(server, one("a"))

    again = await append(server, *request, idempotency_key="k")

    assert [(each.event_id, each.entity_version, each.sequence, each.duplicate) for each in again] == [
        (each.event_id, each.entity_version, each.sequence, True) for each in first
    ]
    assert (await versions(server, "a"), await versions(server, "b")) == ([1, 2], [1])


@pytest.mark.parametrize(
    "other",
    [
        [one("a")],
        [one("a"), one("b"), one("c")],
        [one("b"), one("a")],
        [one("a"), one("b", "account.closed")],
        [one("a"), one("b", data={"n": 2})],
    ],
    ids=["fewer", "more", "other streams", "another name", "other data"],
)
async def test_a_key_of_another_request_is_refused(server: Work, other: list[dict[str, Any]]):
    await append(server, one("a"), one("b"), idempotency_key="k")

    with pytest.raises(IdempotencyKeyReused):
        await append(server, *other, idempotency_key="k")

    assert (await versions(server, "a"), await versions(server, "b"), await versions(server, "c")) == ([1], [1], [])


async def test_a_key_is_of_requests_and_not_of_single_appends_and_is_free_after_a_refusal(server: Work):
    with pytest.raises(VersionConflict):
        await append(server, one("a"), one("b", expected_version=4), idempotency_key="k")
    await server.call(streams.append, entity_id="a", entity_type="account", event_name="x", idempotency_key="k")

    assert [each.duplicate for each in await append(server, one("a"), one("b"), idempotency_key="k")] == [None, None]
    assert await versions(server, "a") == [1, 2]


async def test_an_empty_or_too_large_request_is_refused(server: Work, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InvalidAppends, match="appends 0 events"):
        await append(server)
    with pytest.raises(InvalidAppends, match="one commit takes 1 to 1000"):
        await append(server, *[one("a")] * (rules.APPENDS_MAX + 1))
    monkeypatch.setattr(rules, "APPENDS_BYTES_MAX", 10)
    with pytest.raises(InvalidAppends, match="are 14 bytes"):
        await append(server, one("a"), one("b"))
    assert await versions(server, "a") == []


async def test_the_client_appends_plain_values(server: Work):
    async with Client("http://server", transport=AppTransport(server.inside.app)) as client:
        appended = await client.streams.append_many(
            [
                Append(
                    "a", "account.opened", {"n": 1}, entity_type="account", expected_version=0, metadata={"by": "me"}
                ),
                Append("b", "account.opened", [1, None], entity_type="account"),
            ],
            idempotency_key="k",
        )
        found = [event async for event in client.streams.read("a")]

        assert [each.entity_version for each in appended] == [1, 1]
        assert [(event.data, event.metadata, event.id) for event in found] == [
            ({"n": 1}, {"by": "me"}, appended[0].event_id)
        ]
        with pytest.raises(VersionConflict) as refused:
            await client.streams.append_many([Append("c", "n", entity_type="t"), Append("a", "n", expected_version=9)])
        assert (refused.value.current_version, refused.value.details["index"]) == (1, 1)


async def test_a_policy_holds_for_each_event(database_url: str):
    async with open_guarded(database_url) as guarded:
        role = (await guarded.request("POST", "/api/v1/roles", {"name": "own"}))["id"]
        for effect, resources in (("allow", "*"), ("deny", "entities/account.closed")):
            fields = {"name": "p", "effect": effect, "actions": "entities:append", "resources": resources}
            made = await guarded.request("POST", "/api/v1/policies", fields)
            await guarded.request("POST", f"/api/v1/roles/{role}/policies", {"policy_id": made["id"]})
        key = (await guarded.a_key(role))["key"]

        async def status(*names: str) -> int:
            body = {"appends": [one("a", name) for name in names]}
            return await guarded.status("POST", "/api/v1/streams/append", body, key=key)

        assert await status("account.opened", "account.changed") == 201
        assert await status("account.changed", "account.closed") == 403
        read = await guarded.request("GET", "/api/v1/streams/a")
        assert read["version"] == 2
