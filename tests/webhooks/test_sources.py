"""Webhook sources: created, listed, changed with an expected version, rotated, tried out and deleted."""

import json
import re
from typing import Any

import pytest

from ironflow.base.errors import ValidationError
from ironflow.base.spelling import BadField
from ironflow.base.time import to_datetime
from ironflow.base.webhook.descriptor import InvalidDescriptor
from ironflow.base.webhook.presets import PRESETS, sign_headers
from ironflow.features.secrets import contract as secrets
from ironflow.features.secrets.contract import MasterKeyMissing
from ironflow.features.webhooks import contract
from ironflow.features.webhooks.contract import InvalidWebhookSource, WebhookSourceChanged, WebhookSourceNotFound
from tests.support.server import open_server
from tests.webhooks.conftest import SECRET, WebhookWork

HOUR_MS = 3_600_000


async def test_a_source_shows_its_token_once_and_its_secret_never(server: WebhookWork):
    made = await server.a_source("github", metadata={"team": "a"})
    found = await server.call(contract.get, id=made.id)
    (listed,) = (await server.call(contract.list_)).sources

    assert made.id.startswith("wh_")
    assert (made.ingest_token or "").startswith("ifwh_")
    assert made.ingest_token_prefix == (made.ingest_token or "")[:13]
    assert (found.ingest_token, found.verify_secret_set, found.verifies) == (None, True, True)
    assert (found.name, found.source_type, found.event_prefix, found.schema_version) == (
        "github",
        "github",
        "github",
        1,
    )
    assert found.ingest_url == f"https://flow.example/api/v1/webhooks/{made.id}"
    assert bytes(found.metadata or b"") == b'{"team":"a"}'
    assert listed == found
    for shown in (made, found):
        assert SECRET not in str(shown)


async def test_an_id_is_unique_on_the_server_and_random_where_none_is_chosen(server: WebhookWork):
    await server.call(contract.create, id="orders", name="orders")
    for env in ("default", "other"):
        with pytest.raises(contract.WebhookSourceExists, match="Ids are unique on the whole server"):
            await server.call(contract.create, id="orders", name="another", env=env)

    ids = {(await server.call(contract.create, name="orders", env=env)).id for env in ("default", "other")}
    assert len(ids) == 2
    assert all(re.fullmatch(r"wh_[0-9a-f-]{36}", each) for each in ids)


async def test_secrets_are_encrypted_at_rest(server: WebhookWork):
    source = await server.a_source()

    def sealed(tx: Any) -> list[bytes]:
        return [row[0] for row in tx.rows("SELECT sealed FROM secrets WHERE environment = '$webhooks'")]

    (kept,) = await server.db.read(sealed)
    assert SECRET.encode() not in kept
    assert (await server.call(secrets.list_)).secrets == []
    await server.call(contract.rotate_secret, id=source.id, verify_secret="new", grace_seconds=0)
    assert len(await server.db.read(sealed)) == 1
    await server.call(contract.delete, id=source.id)
    assert await server.db.read(sealed) == []


async def test_without_a_master_key_no_secret_is_taken(database_url: str, tmp_path: Any):
    async with open_server(WebhookWork, database_url, dev=False, auth=False) as server:
        with pytest.raises(MasterKeyMissing):
            await server.a_source()
        assert (await server.call(contract.list_)).total_count == 0
        assert (await server.a_source("")).verifies is False


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({}, InvalidWebhookSource),
        ({"name": "x", "preset": "gitlub", "verify_secret": "s"}, InvalidDescriptor),
        ({"name": "x", "preset": "github"}, InvalidWebhookSource),
        ({"name": "x", "preset": "github", "verify_secret": "s", "verify_header": "X"}, InvalidWebhookSource),
        ({"id": "a/b"}, InvalidWebhookSource),
        ({"name": "x", "event_prefix": "a b"}, InvalidWebhookSource),
        ({"name": "x", "verify_algorithm": "md5"}, InvalidDescriptor),
        ({"name": "x", "verify_config": {"signing_template": "{ts}"}}, InvalidDescriptor),
        ({"name": "x", "metadata": [1]}, InvalidWebhookSource),
        ({"name": "x", "schema_version": -1}, BadField),
    ],
)
async def test_a_source_that_cannot_be_is_refused(
    server: WebhookWork, fields: dict[str, Any], refusal: type[Exception]
):
    with pytest.raises(refusal):
        await server.call(contract.create, **fields)
    assert (await server.call(contract.list_)).total_count == 0


async def test_an_id_that_the_caller_chooses_is_its_name_and_is_one_on_the_server(server: WebhookWork):
    made = await server.call(contract.create, id="stripe", event_prefix="stripe")
    assert (made.id, made.name) == ("stripe", "stripe")
    with pytest.raises(contract.WebhookSourceExists):
        await server.call(contract.create, id="stripe", env="staging")


async def test_sources_come_in_pages_and_are_those_of_the_environment(server: WebhookWork):
    for id in ("a", "b", "c"):
        await server.call(contract.create, id=id)
    await server.call(contract.create, id="d", env="staging")

    first = await server.call(contract.list_, limit=2)
    rest = await server.call(contract.list_, limit=2, cursor=first.next_cursor)
    assert [each.id for each in (*first.sources, *rest.sources)] == ["a", "b", "c"]
    assert (first.total_count, rest.next_cursor) == (3, None)
    assert [each.id for each in (await server.call(contract.list_, offset=2)).sources] == ["c"]
    with pytest.raises(WebhookSourceNotFound):
        await server.call(contract.get, id="d")
    with pytest.raises(WebhookSourceNotFound):
        await server.call(contract.delete, id="d")


async def test_an_update_replaces_name_and_metadata_and_keeps_what_it_leaves_out(server: WebhookWork):
    made = await server.a_source("stripe", metadata={"a": 1})
    server.move(1_000)
    changed = await server.call(
        contract.update, id=made.id, name="payments", expected_updated_at=made.updated_at.isoformat()
    )

    assert (changed.name, changed.metadata) == ("payments", None)
    assert (changed.verify_config, changed.verify_secret_set) == (made.verify_config, True)
    assert changed.updated_at == to_datetime(server.now)
    with pytest.raises(WebhookSourceChanged):
        await server.call(contract.update, id=made.id, name="x", expected_updated_at=made.updated_at.isoformat())
    with pytest.raises(InvalidWebhookSource):
        await server.call(contract.update, id=made.id)
    with pytest.raises(InvalidDescriptor):
        await server.call(contract.update, id=made.id, name="x", verify_config={"encoding": "rot13"})


async def test_two_changes_within_a_millisecond_have_two_versions(server: WebhookWork):
    made = await server.a_source("")
    once = await server.call(contract.update, id=made.id, name="b")
    assert once.updated_at > made.updated_at
    for operation, more in (
        (contract.update, {"name": "c"}),
        (contract.rotate_secret, {"verify_secret": "s"}),
        (contract.expire_previous, {}),
        (contract.disable_verification, {}),
        (contract.rotate_token, {}),
    ):
        with pytest.raises(WebhookSourceChanged):
            await server.call(operation, id=made.id, expected_updated_at=made.updated_at.isoformat(), **more)


async def test_the_previous_secret_is_accepted_for_its_grace(server: WebhookWork):
    source = await server.a_source("")
    rotated = await server.call(contract.rotate_secret, id=source.id, verify_secret="one")
    assert (rotated.verifies, rotated.verify_secret_prev_set) == (True, False)

    async def key(secret: str) -> str:
        from ironflow.base.webhook.descriptor import Descriptor

        body = b'{"type": "a"}'
        headers = sign_headers(Descriptor(signature_header="X-Webhook-Signature"), body, secret, server.now)
        await server.post(source, body, headers)
        server.move(1)
        return (await server.deliveries(limit=1))[0].signature_key

    assert (await key("one"), await key("two")) == ("current", "invalid")
    rotated = await server.call(contract.rotate_secret, id=source.id, verify_secret="two")
    assert rotated.verify_secret_prev_expires_at == to_datetime(server.now + 24 * HOUR_MS)
    assert (await key("one"), await key("two")) == ("prev", "current")
    server.move(24 * HOUR_MS)
    assert (await key("one"), await key("two")) == ("invalid", "current")
    assert (await server.call(contract.get, id=source.id)).verify_secret_prev_set is False

    await server.call(contract.rotate_secret, id=source.id, verify_secret="three", grace_seconds=60)
    assert await key("two") == "prev"
    await server.call(contract.expire_previous, id=source.id)
    assert await key("two") == "invalid"

    await server.call(contract.rotate_secret, id=source.id, verify_secret="four", grace_seconds=0)
    assert await key("three") == "invalid"

    await server.call(contract.disable_verification, id=source.id, grace_seconds=60)
    assert (await key("four"), await key("any")) == ("prev", "none")
    server.move(60_000)
    assert await key("four") == "none"
    with pytest.raises(BadField):
        await server.call(contract.rotate_secret, id=source.id, verify_secret="x", grace_seconds=604_801)


async def test_a_source_that_names_a_header_takes_nothing_until_it_has_a_secret(server: WebhookWork):
    source = await server.call(contract.create, name="later", verify_header="X-Signature", event_prefix="l")
    refused = await server.send(source)
    assert (refused.status_code, refused.json()["reason"]) == (401, "SIGNATURE_INVALID")
    await server.call(contract.rotate_secret, id=source.id, verify_secret="s")
    body = b'{"type": "a"}'
    import hmac

    made = hmac.digest(b"s", body, "sha256").hex()
    assert (await server.post(source, body, {"X-Signature": f"sha256={made}"})).status_code == 200


async def test_a_new_token_replaces_the_old_at_once(server: WebhookWork):
    source = await server.a_source("", event_prefix="p")
    assert (await server.send(source)).status_code == 200
    renewed = await server.call(contract.rotate_token, id=source.id)
    assert (await server.send(source)).status_code == 401
    assert (await server.send(renewed)).status_code == 200


async def test_a_deleted_source_takes_nothing_and_its_deliveries_stay(server: WebhookWork):
    source = await server.a_source("", event_prefix="p")
    await server.send(source)
    await server.call(contract.delete, id=source.id)

    assert (await server.send(source)).status_code == 404
    (delivery,) = await server.deliveries()
    with pytest.raises(WebhookSourceNotFound):
        await server.call(contract.replay, ids=[delivery.id])


async def test_a_dry_run_shows_what_was_signed(server: WebhookWork):
    source = await server.a_source("stripe")
    body = '{"type": "paid", "id": "evt_1"}'
    headers = sign_headers(PRESETS["stripe"].descriptor, body.encode(), SECRET, server.now)
    stripe = {"headers": headers, "body": body}

    by_source = await server.call(contract.test, source_id=source.id, **stripe)
    by_preset = await server.call(contract.test, preset="stripe", verify_secret=SECRET, **stripe)
    wrong = await server.call(contract.test, preset="stripe", verify_secret="wrong", **stripe)
    config = json.loads(json.dumps({"signature_header": "X-S", "encoding": "base64"}))
    by_config = await server.call(
        contract.test, verify_config=config, verify_secret="k", body="b", headers={"x-s": "?"}
    )
    wrong_of_source = await server.call(contract.test, source_id=source.id, headers=headers, body="{}")

    assert (by_source.verified, by_source.error) == (True, "")
    assert by_source.signing_string == f"{server.now // 1000}.{body}"
    assert (by_source.resolved_event_name, by_source.resolved_dedup_id) == ("stripe.paid", "evt_1")
    assert (by_source.resolved_timestamp, len(by_source.presented_signatures)) == (str(server.now // 1000), 1)
    assert by_preset.computed_signature == by_source.computed_signature == by_source.presented_signatures[0]
    assert (wrong.verified, len(wrong.computed_signature)) == (False, 64)
    assert "another than the computed" in wrong.error
    assert (by_config.signing_string, by_config.verified) == ("b", False)
    # What the source's secret makes of other bytes would be a signature for them.
    assert (wrong_of_source.verified, wrong_of_source.computed_signature) == (False, "")
    assert await server.deliveries() == await server.events() == []


async def test_a_dry_run_names_what_is_missing(server: WebhookWork):
    async def error(**fields: Any) -> str:
        return (await server.call(contract.test, **fields)).error

    assert "no header Stripe-Signature" in await error(preset="stripe", verify_secret="s", body="{}")
    assert "send verify_secret" in await error(verify_config={"signature_header": "x"}, body="{}", headers={"x": "00"})
    server.move(1_000_000)
    old = sign_headers(PRESETS["stripe"].descriptor, b"{}", "s", 1_767_225_600_000)
    assert "s old" in await error(preset="stripe", verify_secret="s", body="{}", headers=old)
    with pytest.raises(WebhookSourceNotFound):
        await error(source_id="wh_none")
    with pytest.raises(InvalidDescriptor):
        await error(preset="gitlub")


async def test_rpc_answers_with_both_spellings(server: WebhookWork):
    service = "/ironflow.v1.WebhookService/"
    async with server.http() as http:
        made = (await http.post(f"{service}CreateWebhookSource", json={"name": "n", "eventPrefix": "p"})).json()
        source = {"id": made["id"]}
        listed = (await http.post(f"{service}ListWebhookSources", json={})).json()
        sent = await http.post(
            f"/api/v1/webhooks/{made['id']}?token={made['ingestToken']}", json={"type": "t", "id": "1", "data": {}}
        )
        kept = (await http.post(f"{service}ListWebhookDeliveries", json={"sourceId": made["id"], "limit": 10})).json()
        stale = {**source, "name": "m", "expectedUpdatedAt": "2020-01-01T00:00:00Z"}
        aborted = await http.post(f"{service}UpdateWebhookSource", json=stale)
        tried = (
            await http.post(f"{service}TestWebhookVerifyConfig", json={"sourceId": made["id"], "body": "{}"})
        ).json()
        deleted = await http.post(f"{service}DeleteWebhookSource", json=source)
        missing = await http.post(f"{service}GetWebhookSource", json=source)

    assert made["ingest_token"] == made["ingestToken"]
    assert made["event_prefix"] == made["eventPrefix"] == "p"
    assert listed["totalCount"] == listed["total_count"] == 1
    assert sent.status_code == 200
    (delivery,) = kept["deliveries"]
    assert (delivery["status"], delivery["externalId"], delivery["external_id"]) == ("accepted", "1", "1")
    assert delivery["eventId"] == sent.json()["event_id"]
    assert delivery["signatureKey"] == "none"
    assert (aborted.status_code, aborted.json()["code"]) == (409, "aborted")
    assert tried["verified"] is False
    assert (deleted.status_code, deleted.json()) == (200, {})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_a_program_cannot_have_an_id_that_a_source_cannot():
    from ironflow.webhooks import Webhook

    with pytest.raises(ValidationError):
        Webhook("a/b", lambda _: None, lambda _: None)
