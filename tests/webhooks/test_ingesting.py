"""Deliveries to webhook sources: verified, recorded with their event, deduplicated, kept and refused."""

import asyncio
import hmac
import json
from base64 import b64encode
from typing import Any

import pytest

from ironflow.base.errors import IronflowError
from ironflow.features.events import contract as events
from ironflow.features.schemas import contract as schemas
from ironflow.features.webhook_deliveries import contract as deliveries
from ironflow.features.webhooks import contract as webhooks
from tests.webhooks.conftest import SECRET, WebhookWork, payload_of
from tests.webhooks.vectors import FORM, VECTORS, Vector


async def test_a_genuine_delivery_is_an_event_that_starts_functions(server: WebhookWork):
    await server.a_function(on="github.push")
    source = await server.a_source()

    answer = await server.send(source, b'{"ref": "main"}', X_GitHub_Event="push", X_GitHub_Delivery="72d3")

    body = answer.json()
    (event,) = await server.events(name="github.push")
    (delivery,) = await server.deliveries()
    assert (answer.status_code, body["status"], body["event_id"], body["eventId"]) == (
        200,
        "accepted",
        event.id,
        event.id,
    )
    assert (event.source, event.emitted_by, event.version) == ("webhook", f"webhook:{source.id}", 1)
    assert payload_of(event) == {"ref": "main"}
    assert json.loads(bytes(event.metadata or b"")) == {
        "webhook": {"source_id": source.id, "delivery_id": body["delivery_id"]}
    }
    assert [run.id for run in await server.runs()] == body["run_ids"]
    assert (delivery.id, delivery.status, delivery.event_id) == (body["id"], "accepted", event.id)
    assert (delivery.external_id, delivery.signature_key, delivery.error) == ("72d3", "current", "")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.preset)
async def test_the_vector_of_each_provider_is_accepted_at_the_time_it_was_signed(server: WebhookWork, vector: Vector):
    source = await server.a_source(vector.preset, verify_secret=vector.secret)
    if vector.at_s:
        server.clock.at = vector.at_s * 1000
    headers, body = vector.headers, vector.body
    if vector.preset == "twilio":
        # Its vector is for another URL; made anew by the documented algorithm for this one.
        url = f"https://flow.example/api/v1/webhooks/{source.id}?token={source.ingest_token}"
        signed = url + "CallSidCA1234567890ABCDECaller+12349013030Digits1234From+12349013030To+18005551212"
        made = b64encode(hmac.digest(vector.secret.encode(), signed.encode(), "sha1")).decode()
        headers = {**headers, "X-Twilio-Signature": made}
    answer = await server.post(source, body, headers)
    (delivery,) = await server.deliveries()

    # GitHub's published body is no JSON: genuine, and no event.
    expected = (400, "failed") if vector.preset == "github" else (200, "accepted")
    assert (answer.status_code, delivery.status) == expected, answer.text
    assert delivery.signature_key == "current"


async def test_without_its_token_a_source_takes_nothing_and_keeps_nothing(server: WebhookWork):
    source = await server.a_source("")
    url = f"/api/v1/webhooks/{source.id}"
    async with server.http() as client:
        for sent in (
            client.post(url, json={}),
            client.post(f"{url}?token=", json={}),
            client.post(f"{url}?token=ifwh_wrong", json={}),
            client.post(url, json={}, headers={"authorization": "Bearer ifwh_wrong"}),
            client.post(url, json={}, headers={"authorization": f"Basic {source.ingest_token}"}),
        ):
            answer = await sent
            assert (answer.status_code, answer.json()["reason"]) == (401, "WRONG_INGEST_TOKEN")
        unknown = await client.post("/api/v1/webhooks/wh_none?token=x", json={})
        bearer = await client.post(
            url, json={"type": "a.b"}, headers={"authorization": f"Bearer {source.ingest_token}"}
        )

    assert unknown.status_code == 404
    assert bearer.status_code == 200
    assert len(await server.deliveries()) == 1


async def test_what_is_not_genuine_is_kept_as_rejected_and_emits_nothing(server: WebhookWork):
    source = await server.a_source("stripe")
    wrong = await server.send(source, secret="another")
    unsigned = await server.send(source, secret="")
    altered = await server.post(source, b'{"n": 2}', dict(await _signed(server, "stripe", b'{"n": 1}')))
    stale = await _signed(server, "stripe", b'{"n": 1}')
    server.move(301_000)
    old = await server.post(source, b'{"n": 1}', stale)

    assert [each.status_code for each in (wrong, unsigned, altered, old)] == [401] * 4
    assert [each.json()["reason"] for each in (wrong, unsigned, altered, old)] == [
        "SIGNATURE_INVALID",
        "SIGNATURE_MISSING",
        "SIGNATURE_INVALID",
        "SIGNATURE_EXPIRED",
    ]
    assert await server.events() == []
    kept = await server.deliveries(status="rejected")
    assert [(each.status, each.signature_key, each.event_id) for each in kept] == [("rejected", "invalid", "")] * 4
    assert "301 s old" in kept[0].error


async def _signed(server: WebhookWork, preset: str, body: bytes) -> dict[str, str]:
    from ironflow.base.webhook.presets import PRESETS, sign_headers

    return sign_headers(PRESETS[preset].descriptor, body, SECRET, server.now)


async def test_a_delivery_that_comes_again_is_one_event(server: WebhookWork):
    await server.a_function(on="github.push")
    source = await server.a_source()
    first = (await server.send(source, X_GitHub_Event="push", X_GitHub_Delivery="d1")).json()
    server.move(3 * 24 * 3_600_000)
    again = (await server.send(source, X_GitHub_Event="push", X_GitHub_Delivery="d1")).json()
    other = (await server.send(source, X_GitHub_Event="push", X_GitHub_Delivery="d2")).json()

    assert (again["event_id"], again["run_ids"], again["duplicate"]) == (first["event_id"], first["run_ids"], True)
    assert other["event_id"] != first["event_id"]
    assert len(await server.runs()) == 2
    assert [each.duplicate for each in await server.deliveries()] == [False, True, False]


async def test_an_id_is_one_of_its_source_whatever_the_name_and_no_emits_key(server: WebhookWork):
    source, other = await server.a_source(), await server.a_source()
    one = (await server.send(source, X_GitHub_Event="push", X_GitHub_Delivery="d1")).json()
    same = (await server.send(source, X_GitHub_Event="pull", X_GitHub_Delivery="d1")).json()
    elsewhere = (await server.send(other, X_GitHub_Event="push", X_GitHub_Delivery="d1")).json()
    emitted = await server.emit("github.push", idempotency_key="d1")

    assert same["event_id"] == one["event_id"]
    assert len({one["event_id"], elsewhere["event_id"], emitted.event_id}) == 3


async def test_a_storm_of_duplicates_in_flight_is_one_event_for_each_id(server: WebhookWork):
    await server.a_function(on="github.push")
    source = await server.a_source()
    sent = [f"d{number % 7}" for number in range(140)]

    answers = await asyncio.gather(
        *(server.send(source, X_GitHub_Event="push", X_GitHub_Delivery=each) for each in sent)
    )

    by_id: dict[str, set[str]] = {}
    for each, answer in zip(sent, answers, strict=True):
        assert answer.status_code == 200
        by_id.setdefault(each, set()).add(answer.json()["event_id"])
    assert {len(found) for found in by_id.values()} == {1}
    assert len(await server.events(limit=100)) == len(await server.runs(limit=100)) == 7
    assert sum(answer.json()["duplicate"] for answer in answers) == 133
    kept = await server.call(deliveries.list_)
    assert kept.total_count == 140


async def test_a_long_or_strange_id_of_a_delivery_is_an_id_too(server: WebhookWork):
    source = await server.a_source("")
    for id in ("a b c", "é" * 300, "x" * 5000):
        first, again = [
            (await server.send(source, json.dumps({"id": id, "type": "t"}).encode())).json() for _ in range(2)
        ]
        assert (again["duplicate"], again["event_id"]) == (True, first["event_id"])


async def test_without_an_id_every_delivery_is_an_event(server: WebhookWork):
    source = await server.a_source("", event_prefix="acme")
    for body in (b'{"type": "a"}', b'{"type": "a"}', b"[]", b'"text"'):
        assert (await server.send(source, body)).status_code == 200
    assert await server.names() == ["acme.a", "acme.a", "acme", "acme"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"n": NaN}', {}, 400),
        (b"[" * 300 + b"]" * 300, {}, 400),
        (b"a=%FF", {"content-type": FORM}, 400),
        (b'{"no": "name"}', {}, 400),
        (b'{"type": "$reserved"}', {}, 400),
        (b'{"type": "' + b"x" * 300 + b'"}', {}, 400),
    ],
    ids=["empty", "half", "bytes", "nan", "deep", "form", "nameless", "reserved", "long-name"],
)
async def test_what_is_no_event_is_kept_as_failed_with_its_reason(
    server: WebhookWork, body: bytes, headers: dict[str, str], status: int
):
    source = await server.a_source("", event_prefix="")
    answer = await server.post(source, body, headers)
    (delivery,) = await server.deliveries()
    assert (answer.status_code, delivery.status) == (status, "failed")
    assert delivery.error == answer.json()["message"][:500] != ""
    assert await server.events() == []


async def test_a_body_of_1_mib_is_taken_and_a_larger_one_is_not(server: WebhookWork):
    source = await server.a_source("", event_prefix="big")
    fits = b'"' + b"x" * (1024 * 1024 - 2) + b'"'
    taken, refused = await server.send(source, fits), await server.send(source, fits + b" ")

    assert (taken.status_code, refused.status_code) == (200, 413)
    assert refused.json()["reason"] == "WEBHOOK_TOO_LARGE"
    (delivery,) = await server.deliveries()
    whole = await server.call(deliveries.get, id=delivery.id)
    assert (delivery.body_bytes, len(delivery.request_body), len(whole.request_body)) == (2**20, 8192, 2**20)


async def test_the_data_of_the_event_is_the_body_byte_for_byte(server: WebhookWork):
    source = await server.a_source("", event_prefix="raw")
    body = b'{ "big": 12345678901234567890123, "b": 1.50, "b": 2 }'
    event_id = (await server.send(source, body)).json()["event_id"]
    assert bytes((await server.call(events.get, id=event_id)).data) == body


async def test_a_form_is_an_object_of_texts(server: WebhookWork):
    source = await server.a_source("", event_prefix="form")
    await server.post(source, b"type=sent&to=a&to=b", {"content-type": FORM})
    (event,) = await server.events()
    assert (event.name, payload_of(event)) == ("form.sent", {"type": "sent", "to": ["a", "b"]})


async def test_the_challenge_of_slack_is_answered_when_it_is_genuine_and_is_no_event(server: WebhookWork):
    source = await server.a_source("slack")
    body = b'{"type": "url_verification", "challenge": "3eZbrw1a"}'
    answer, forged = await server.send(source, body), await server.send(source, body, secret="x")

    assert (answer.status_code, answer.json()["challenge"]) == (200, "3eZbrw1a")
    assert (forged.status_code, "3eZbrw1a" in forged.text) == (401, False)
    assert await server.events() == []
    # Another source's payload that looks like it is an event.
    plain = await server.a_source("")
    assert (await server.send(plain, body)).json()["event_id"]


async def test_credentials_are_not_kept_and_signatures_are(server: WebhookWork):
    source = await server.a_source()
    secret: Any = {"Authorization": "Bearer a", "Cookie": "b", "X-Gitlab-Token": "c", "X-Api-Key": "d"}
    await server.send(source, **secret, X_Other="e")
    (delivery,) = await server.deliveries()
    kept = json.loads(bytes(delivery.request_headers or b""))

    assert {kept[name.lower()] for name in secret} == {"[removed]"}
    assert kept["x-other"] == "e"
    assert kept["x-hub-signature-256"].startswith("sha256=")
    assert (source.ingest_token or "absent") not in str(delivery)


async def test_an_event_that_does_not_fit_its_schema_is_a_failed_delivery(database_url: str):
    from tests.support.server import open_server

    async with open_server(WebhookWork, database_url, event_schema_enforcement="reject") as server:
        schema = {"type": "object", "required": ["total"]}
        await server.call(schemas.register, event_name="shop.paid", version=3, schema_json=schema)
        source = await server.a_source("", event_prefix="shop", schema_version=3)

        bad = await server.send(source, b'{"type": "paid", "id": 1}')
        good = await server.send(source, b'{"type": "paid", "id": 1, "total": 5}')

        assert (bad.status_code, bad.json()["reason"], good.status_code) == (400, "SCHEMA_VIOLATION", 200)
        assert [each.status for each in await server.deliveries()] == ["accepted", "failed"]
        (event,) = await server.events()
        assert event.version == 3


async def test_a_source_belongs_to_its_environment(server: WebhookWork):
    await server.a_function(on="plain.a", env="staging")
    source = await server.a_source("", env="staging", event_prefix="plain")
    answer = await server.send(source, b'{"type": "a"}', X_Ironflow_Environment="default")

    assert len(answer.json()["run_ids"]) == 1
    assert [each.name for each in await server.events(env="staging")] == ["plain.a"]
    assert await server.events() == await server.deliveries() == []
    assert len(await server.deliveries(env="staging")) == 1


async def test_replaying_an_accepted_delivery_is_a_new_event(server: WebhookWork):
    await server.a_function(on="github.push")
    source = await server.a_source()
    first = (await server.send(source, b'{"n": 1}', X_GitHub_Event="push", X_GitHub_Delivery="d1")).json()
    # Long after the signature's own time, and with the secret replaced: it was verified when it came.
    server.move(10_000_000)
    await server.call(webhooks.rotate_secret, id=source.id, verify_secret="new", grace_seconds=0)

    replayed = await server.call(webhooks.replay, ids=[first["id"]])

    (again,) = replayed.replayed
    assert (again.status, again.error, again.duplicate) == ("accepted", "", False)
    assert again.event_id != first["event_id"]
    assert len(await server.runs()) == 2
    new, old = await server.deliveries()
    assert (new.replay_of, old.replayed_as, new.request_body) == (old.id, new.id, '{"n": 1}')
    assert new.external_id == "d1"


async def test_rejected_deliveries_are_replayed_once_the_secret_is_right(server: WebhookWork):
    source = await server.a_source("stripe", verify_secret="wrong")
    for number in range(3):
        body = json.dumps({"type": "paid", "id": f"evt_{number}"}).encode()
        assert (await server.send(source, body)).status_code == 401
        server.move(1_000)
    still_wrong = await server.call(webhooks.replay, source_id=source.id, status="rejected", limit=1)
    assert [each.status for each in still_wrong.replayed] == ["rejected"]
    await server.call(webhooks.rotate_secret, id=source.id, verify_secret=SECRET)
    server.move(10_000_000)

    first = await server.call(webhooks.replay, source_id=source.id, status="rejected", limit=1)
    rest = await server.call(webhooks.replay, source_id=source.id, status="rejected", cursor=first.next_cursor or "")

    assert [each.status for each in (*first.replayed, *rest.replayed)] == ["accepted"] * 2
    assert rest.next_cursor is None
    assert await server.names() == ["stripe.paid"] * 2
    # What the provider sends again later is known by then.
    again = await server.send(source, b'{"type": "paid", "id": "evt_2"}')
    assert again.json()["duplicate"] is True


async def test_a_replay_names_what_there_is(server: WebhookWork):
    source = await server.a_source("")
    cases: list[tuple[dict[str, Any], type[IronflowError]]] = [
        ({"ids": ["whd_none"]}, webhooks.WebhookDeliveryNotFound),
        ({"source_id": source.id}, webhooks.InvalidDeliveryFilter),
        ({"status": "failed"}, webhooks.InvalidDeliveryFilter),
        ({"source_id": "wh_none", "status": "failed"}, webhooks.WebhookSourceNotFound),
        ({"source_id": source.id, "status": "lost"}, webhooks.InvalidDeliveryFilter),
    ]
    for fields, refusal in cases:
        with pytest.raises(refusal):
            await server.call(webhooks.replay, **fields)


async def test_deliveries_are_filtered_and_come_in_pages(server: WebhookWork):
    one, other = await server.a_source(), await server.a_source("")
    for number in range(3):
        await server.send(one, secret=SECRET if number else "x", X_GitHub_Event=f"e{number}")
        server.move(60_000)
    await server.send(other, b"{")

    async def listed(**filters: Any) -> list[tuple[str, str]]:
        return [(each.source_id, each.status) for each in await server.deliveries(**filters)]

    assert await listed() == [(other.id, "failed"), *[(one.id, "accepted")] * 2, (one.id, "rejected")]
    assert await listed(source_id=one.id, status="rejected") == [(one.id, "rejected")]
    assert await listed(source_id=one.id, limit=1, offset=2) == [(one.id, "rejected")]
    assert await listed(status="accepted", limit=1) == [(one.id, "accepted")]
    assert await listed(since="2026-01-01T00:02:00Z") == [(other.id, "failed"), (one.id, "accepted")]
    assert await listed(until="2026-01-01T00:01:00Z") == [(one.id, "rejected")]
    with pytest.raises(deliveries.InvalidDeliveryFilter, match="accepted, failed, rejected"):
        await server.deliveries(status="lost")
    seen: list[str] = []
    cursor = ""
    while True:
        page = await server.call(deliveries.list_, limit=2, cursor=cursor)
        seen += [each.id for each in page.deliveries]
        assert page.total_count == 4
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == [each.id for each in await server.deliveries()]


async def test_deliveries_are_forgotten_after_their_retention(server: WebhookWork):
    source = await server.a_source("", event_prefix="x")
    await server.send(source)
    server.move(30 * 24 * 3_600_000 - 1)
    await server.send(source)
    server.move(1)
    await server.loop("webhook-deliveries-purge")
    assert len(await server.deliveries()) == 2
    server.move(1)
    await server.loop("webhook-deliveries-purge")
    assert len(await server.deliveries()) == 1
    assert len(await server.events()) == 2
