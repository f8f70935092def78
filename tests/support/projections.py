"""A projection runner that a test drives step by step: it registers, polls, folds and saves as the protocol requires.

runner = await server.a_projection("totals", events=["order.*"])
batch = await runner.poll()
await runner.save(batch)
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.spelling import reader
from ironflow.features.projections import contract
from ironflow.features.projections.contract import GLOBAL, EventKind, ProjectionEvent
from tests.support.server import Server


def partition_of(event: ProjectionEvent) -> str:
    return msgspec.json.decode(event.metadata or b"{}")["__partition"]


def folded(state: Any, event: ProjectionEvent) -> Any:
    """The reducer of every test: the positions in order and the last data. A missing or repeated event shows in it."""
    before = state or {"seen": [], "last": None}
    return {"seen": [*before["seen"], event.seq], "last": msgspec.json.decode(event.data or b"null")}


@dataclass
class Runner:
    """lease: what requests carry; None for a runner without one. states: what it has folded, by partition."""

    server: Server
    name: str
    env: str = "default"
    lease: dict[str, Any] | None = None
    states: dict[str, Any] = field(default_factory=dict[str, Any])

    async def poll(self, batch_size: int = 0, **more: Any) -> list[ProjectionEvent]:
        return (await self.polled(batch_size, **more)).events

    async def polled(self, batch_size: int = 0, **more: Any) -> contract.Polled:
        return await self.server.call(
            contract.poll, name=self.name, batch_size=batch_size, lease=self.lease, env=self.env, **more
        )

    async def acquire(self) -> bool:
        acquired = await self.server.call(contract.acquire_lease, name=self.name, env=self.env)
        self.lease = {"token": acquired.lease.token, "epoch": acquired.lease.epoch} if acquired.lease else self.lease
        return acquired.granted

    async def load(self, partition: str = GLOBAL) -> Any:
        """The state that a runner continues from; None before the first save."""
        try:
            found = await self.server.call(contract.get, name=self.name, partition=partition, env=self.env)
        except contract.ProjectionNotFound:
            self.states.pop(partition, None)
            return None
        self.states[partition] = msgspec.json.decode(found.state or b"null")
        return self.states[partition]

    async def save(self, batch: Sequence[ProjectionEvent], *, only: str | None = None) -> None:
        """Folds a batch and saves each partition, in the order in which they first come. only: that partition."""
        last: dict[str, ProjectionEvent] = {}
        for event in batch:
            partition = partition_of(event)
            if only is None or partition == only:
                if partition not in self.states:
                    await self.load(partition)
                self.states[partition] = folded(self.states.get(partition), event)
                last[partition] = event
        for partition, event in last.items():
            await self.save_state(self.states[partition], event.seq or 0, event.id or "", partition)

    async def save_state(self, state: Any, seq: int, event_id: str = "", partition: str = "", **more: Any) -> None:
        await self.server.call(
            contract.save,
            name=self.name,
            partition_key=partition,
            state=state,
            last_event_seq=seq,
            last_event_id=event_id,
            lease=self.lease,
            env=self.env,
            **more,
        )

    async def ack(self, event: ProjectionEvent) -> None:
        await self.server.call(
            contract.ack, name=self.name, last_event_seq=event.seq, last_event_id=event.id, lease=self.lease,
            env=self.env,
        )  # fmt: skip

    async def work_off(self, batch_size: int = 0) -> int:
        """Polls and saves until no event comes; returns their number."""
        count = 0
        while batch := await self.poll(batch_size):
            await self.save(batch)
            count += len(batch)
        return count

    def follow(self, **more: Any) -> AsyncGenerator[ProjectionEvent, None]:
        """The stream as the transport runs it; close it."""
        request = {"name": self.name, "lease": self.lease, "accept_heartbeats": True, **more}
        message = reader(contract.follow.request).read(msgspec.json.encode(request))
        call = Call(environment=self.env, now=self.server.now)
        return self.server.dispatch.stream(contract.follow, call, message)

    async def status(self) -> contract.Status:
        return await self.server.call(contract.status, name=self.name, env=self.env)

    async def shown(self, partition: str = "", **more: Any) -> Any:
        """The state that readers see; None before the first save."""
        found = await self.server.call(contract.envelope, name=self.name, partition=partition, env=self.env, **more)
        return msgspec.json.decode(found.state.state) if found.state else None


async def a_projection(server: Server, name: str = "totals", *, env: str = "default", **registration: Any) -> Runner:
    """Registers a projection of `order.*`, managed by default."""
    asked = {"events": ["order.*"], "mode": "managed", **registration}
    await server.call(contract.register, name=name, env=env, **asked)
    return Runner(server, name, env)


async def of_kind(stream: AsyncGenerator[ProjectionEvent, None], kind: EventKind, count: int) -> list[ProjectionEvent]:
    """The next `count` frames, each of that kind."""
    frames = [await anext(stream) for _ in range(count)]
    assert [each.kind for each in frames] == [kind] * count
    return frames
