"""A server that is killed with `kill -9` while webhooks arrive: what was answered 200 is there, once for each id."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from ironflow.base.time import SystemClock
from ironflow.base.webhook.presets import PRESETS, sign_headers
from tests.crash.scene import Scene
from tests.crash.until import until

DELIVERIES = 120
KILLS = 3
BODY = b'{"ref": "main"}'


class Provider:
    """Sends each delivery until it is answered 200, twice at the same time, as an impatient provider does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._signed = sign_headers(PRESETS["github"].descriptor, BODY, "s3cret", SystemClock().now())
        self.answered: dict[str, set[str]] = {}
        self.lost = Counter[str]()

    async def deliver(self, client: httpx.AsyncClient, id: str) -> None:
        headers = {**self._signed, "X-GitHub-Event": "push", "X-GitHub-Delivery": id}
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await client.post(self._url, content=BODY, headers=headers)
                except httpx.TransportError:
                    self.lost[id] += 1
                    await asyncio.sleep(0.02)
                    continue
                if answer.status_code == 200:
                    self.answered.setdefault(id, set()).add(answer.json()["event_id"])
                    return
                assert answer.status_code >= 500, answer.text
                await asyncio.sleep(0.02)


@pytest.mark.processes
@pytest.mark.timeout(240)
async def test_what_was_answered_200_survives_kills_and_is_one_event(tmp_path: Path, database_url: str):
    with Scene(tmp_path, database_url) as scene:
        await scene.start_server()
        async with scene.client() as client:
            source = await client.webhooks.create("github", preset="github", secret="s3cret")
            provider = Provider(f"{scene.url}/api/v1/webhooks/{source.id}?token={source.ingest_token}")
            async with httpx.AsyncClient(timeout=5) as http:
                ids = [f"d{number}" for number in range(DELIVERIES)]
                waiting = asyncio.Semaphore(16)

                async def deliver(id: str) -> None:
                    async with waiting:
                        await asyncio.gather(provider.deliver(http, id), provider.deliver(http, id))

                sending = [asyncio.ensure_future(deliver(id)) for id in ids]
                for kill in range(1, KILLS + 1):
                    goal = kill * DELIVERIES // (KILLS + 1)
                    await until(
                        lambda goal=goal: len(provider.answered) >= goal, "deliveries are answered", within_s=60
                    )
                    scene.kill_server()
                    await scene.start_server()
                await asyncio.gather(*sending)
            events = [event async for event in client.events.list(name="github.push")]
            kept = [each async for each in client.webhooks.deliveries(status="accepted")]

    assert {id: len(found) for id, found in provider.answered.items()} == dict.fromkeys(ids, 1)
    assert sorted(event.id for event in events) == sorted({next(iter(each)) for each in provider.answered.values()})
    # Every answer has its delivery; those whose answer was lost are there besides.
    assert len(kept) >= 2 * DELIVERIES
    assert provider.lost
