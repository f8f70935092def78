"""Webhooks beside served functions: `/webhooks/<id>` needs no push signature, and its event starts a run."""

import json

import httpx

from ironflow import Context, function
from ironflow.features.events import contract as events
from ironflow.webhooks import Webhook, WebhookEvent, WebhookRequest
from tests.push.serving import listening, served
from tests.support.work import Work


def genuine(request: WebhookRequest) -> None:
    if request.headers.get("X-Shop-Token") != "open sesame":
        raise ValueError("not ours")


shop = Webhook("shop", verify=genuine, transform=lambda body: WebhookEvent("order.placed", body["order"], body["id"]))


@function("charge", on="order.placed")
async def charge(ctx: Context) -> int:
    return ctx.event.data["total"]


async def test_a_webhook_is_verified_transformed_and_emitted_once(server: Work):
    delivery = {"id": "d1", "order": {"total": 7}}
    token = {"x-shop-token": "open sesame"}
    async with served(server, [charge], checkpoints=False, webhooks=[shop], signing_key="whsec") as handler:
        async with listening(handler) as address, httpx.AsyncClient(base_url=address) as client:
            url = "/api/ironflow/webhooks/shop"
            answers = [await client.post(url, json=delivery, headers=token) for _ in range(2)]
            assert [each.status_code for each in answers] == [200, 200]
            refused = await client.post(url, json=delivery)
            unknown = await client.post("/api/ironflow/webhooks/other", json=delivery, headers=token)
            broken = await client.post(url, json={"id": "d2"}, headers=token)
        codes = [(each.status_code, json.loads(each.content)["error"]["code"]) for each in (refused, unknown, broken)]
        assert codes == [(401, "VERIFY_FAILED"), (404, "WEBHOOK_NOT_FOUND"), (400, "TRANSFORM_FAILED")]
        found = await server.runs()
        assert len(found) == 1
        assert (await server.run(found[0].id)).function_id == "charge"
        (event,) = (await server.call(events.list_, name="order.placed")).events
        assert event.source == "webhook"
