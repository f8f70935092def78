"""A projection runner written from the protocol documents alone.

It uses only what protocol/projections.md, connectrpc.md and rest.md describe, with httpx, like the runner of the
JavaScript SDK: without a lease, with envelopes made by hand, saving one partition after another.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx

NAME = "plain-totals"
EVENT = "plain.order.placed"
RPC = "/ironflow.v1.ProjectionService"
END = 0x02


class NotServed(Exception):
    """The server does not stream: poll."""


class PlainRunner:
    """Sums the amounts of each customer. events: ids in the order in which they were folded."""

    def __init__(self, client: httpx.AsyncClient, batch_size: int = 4) -> None:
        self._client = client
        self._batch_size = batch_size
        self.events: list[str] = []

    async def register(self) -> Any:
        return await self._call(
            "RegisterProjection",
            {"name": NAME, "events": ["plain.order.*"], "mode": "managed", "version": 1,
             "partitionKey": "$.data.customerId"},
        )  # fmt: skip

    async def work_off_by_polls(self) -> int:
        """Polls and saves until nothing comes; how many events that were."""
        count = 0
        while True:
            polled = await self._call("PollProjectionEvents", {"name": NAME, "batchSize": self._batch_size})
            if not polled["events"]:
                return count
            await self._save(polled["events"])
            count += len(polled["events"])

    async def work_off_by_stream(self, count: int) -> int:
        """Follows the stream until so many events are saved; how many heartbeats came between them."""
        heartbeats, batch = 0, list[Any]()
        async for frame in self.frames():
            if frame["kind"] == "PROJECTION_EVENT_KIND_HEARTBEAT":
                heartbeats += 1
                continue
            assert frame["kind"] == "PROJECTION_EVENT_KIND_EVENT"
            batch.append(frame)
            count -= 1
            if len(batch) == self._batch_size or not count:
                await self._save(batch)
                batch = []
            if not count:
                break
        return heartbeats

    async def frames(self) -> AsyncGenerator[Any, None]:
        """The stream's messages; an error in its last frame is raised as AssertionError."""
        text = json.dumps({"name": NAME, "batchSize": self._batch_size, "acceptHeartbeats": True}).encode()
        body = b"\0" + len(text).to_bytes(4, "big") + text
        headers = {"content-type": "application/connect+json"}
        async with self._client.stream(
            "POST", f"{RPC}/StreamProjectionEvents", content=body, headers=headers
        ) as answer:
            if answer.status_code in (404, 501):
                raise NotServed()
            assert answer.status_code == 200
            held = b""
            async for chunk in answer.aiter_raw():
                held += chunk
                while len(held) >= 5 and len(held) >= 5 + int.from_bytes(held[1:5], "big"):
                    flags, size = held[0], int.from_bytes(held[1:5], "big")
                    message, held = json.loads(held[5 : 5 + size]), held[5 + size :]
                    if flags & END:
                        assert message == {}, message
                        return
                    yield message

    async def _save(self, events: list[Any]) -> None:
        by_customer: dict[str, list[Any]] = {}
        for event in events:
            by_customer.setdefault(event["metadata"]["__partition"], []).append(event)
            self.events.append(event["id"])
        for customer, theirs in by_customer.items():
            state = await self.state(customer) or {"sum": 0, "orders": 0}
            for event in theirs:
                state = {"sum": state["sum"] + event["data"]["amount"], "orders": state["orders"] + 1}
            last = theirs[-1]
            saved = await self._call(
                "SaveProjectionState",
                {"name": NAME, "partitionKey": customer, "state": state, "lastEventId": last["id"],
                 "lastEventSeq": int(last["seq"]), "lastEventTime": last["timestamp"]},
            )  # fmt: skip
            assert saved == {"ok": True}

    async def state(self, customer: str) -> Any:
        answer = await self._client.post(f"{RPC}/GetProjection", json={"name": NAME, "partition": customer})
        answer.raise_for_status()
        # A partition without a row has no state yet.
        return answer.json().get("state")

    async def _call(self, method: str, body: dict[str, Any]) -> Any:
        answer = await self._client.post(f"{RPC}/{method}", json=body)
        answer.raise_for_status()
        return answer.json()


class MemoryRunner(PlainRunner):
    """Counts events in a state that it keeps in memory and loads once, as the runner of the JavaScript SDK does.

    When its stream ends it connects again and goes on from what it has; where streams are not served it polls, and
    goes on from what the poll says.
    """

    async def start(self) -> None:
        await self._call("RegisterProjection", {"name": NAME, "events": ["plain.order.*"], "mode": "managed"})
        self._state = await self.state("") or {"t": 0}

    async def run_until_seq(self, seq: int) -> None:
        while True:
            try:
                async for frame in self.frames():
                    if frame["kind"] == "PROJECTION_EVENT_KIND_EVENT" and await self._fold([frame]) >= seq:
                        return
            except NotServed:
                polled = await self._call("PollProjectionEvents", {"name": NAME})
                self._state = polled.get("currentState") or {"t": 0}
                if polled["events"] and await self._fold(polled["events"]) >= seq:
                    return

    async def _fold(self, events: list[Any]) -> int:
        self._state = {"t": self._state["t"] + len(events)}
        last = events[-1]
        fields = {"lastEventId": last["id"], "lastEventSeq": int(last["seq"])}
        answer = await self._client.post(
            f"{RPC}/SaveProjectionState", json={"name": NAME, "partitionKey": "", "state": self._state, **fields}
        )
        # The runner swallows a save that was refused.
        return int(last["seq"]) if answer.is_success else 0


async def place_orders(client: httpx.AsyncClient, orders: list[tuple[str, int]]) -> list[str]:
    """Emits an order of each (customer, amount); the events' ids."""
    ids: list[str] = []
    for customer, amount in orders:
        data = {"customerId": customer, "amount": amount}
        answer = await client.post("/api/v1/events", json={"name": EVENT, "data": data})
        answer.raise_for_status()
        ids.append(answer.json()["event_id"])
    return ids
