"""The requests of a projection runner: protocol/projections.md, one method for each."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from ironflow.base.errors import Internal, IronflowError, NotFound, Unauthenticated, Unimplemented
from ironflow.base.json import NULL
from ironflow.base.operation import Operation, Req, Res
from ironflow.features.projections import contract
from ironflow.features.projections.contract import EventKind, Lease
from ironflow.sdk.projections.definition import ProjectionDefinition, ProjectionEvent
from ironflow.sdk.values.payload import Raw, from_payload
from ironflow.sdk.wire import message_stream
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.operations import error_in, outgoing, read_answer
from ironflow.sdk.wire.transport import Answer, AsyncStreaming, AsyncTransport, Refused

REQUEST_S = 30.0
POLL_S = 15.0
_REFUSED_KEY = (401, 403)
# What a server, or something before it, answers that knows no streams.
_NO_STREAMS = (404, 415, 501)
HEARTBEAT = EventKind.HEARTBEAT.sent


class ProjectionAuthError(Unauthenticated):
    """The server refused this runner's credentials."""

    code = "UNAUTHENTICATED"


class StreamingUnsupported(Unimplemented):
    """The server does not stream the events of projections. Poll for them."""

    code = "STREAMING_UNSUPPORTED"


class Granted(NamedTuple):
    """served: while the projection is built anew, the version that readers see, which is fed as well."""

    lease: Lease
    ttl: timedelta
    served: str = ""


class ProjectionProtocol:
    """The requests of one runner. lease: sent with them; None before one is granted.

    generation: of a feed beside another one; empty for what the server feeds by itself.
    """

    def __init__(self, definition: ProjectionDefinition, transport: AsyncTransport, endpoint: Endpoint) -> None:
        self._definition = definition
        self._transport = transport
        self._endpoint = endpoint
        self._headers = endpoint.headers()
        self.lease: Lease | None = None
        self.generation = ""

    def beside(self, generation: str) -> "ProjectionProtocol":
        """The requests of a feed of that version, with the lease as it is now."""
        made = ProjectionProtocol(self._definition, self._transport, self._endpoint)
        made.lease, made.generation = self.lease, generation
        return made

    @property
    def can_stream(self) -> bool:
        return isinstance(self._transport, AsyncStreaming)

    async def register(self) -> None:
        """Raises InvalidProjection, or another error of the server."""
        await self._ask(contract.register, self._definition.registration())

    async def acquire(self) -> Granted | None:
        """A lease; None while another runner has it."""
        answer = await self._ask(contract.acquire_lease, contract.Acquire(name=self._definition.name, feeds_both=True))
        if not answer.granted or answer.lease is None or answer.ttl is None:
            return None
        return Granted(answer.lease, answer.ttl, answer.served or "")

    async def renew(self) -> None:
        """Raises LeaseLost."""
        await self._ask(contract.renew_lease, self._held())

    async def release(self) -> None:
        await self._ask(contract.release_lease, self._held())

    async def load(self, partition: str) -> Raw | None:
        """The saved state of a partition, None before the first one."""
        request = contract.LoadProjection(name=self._definition.name, partition=partition, generation=self.generation)
        try:
            found = await self._ask(contract.get, request)
        except NotFound:
            # An older server answers so for a partition without a state.
            return None
        return found.state or (NULL if found.version else None)

    async def save(self, partition: str, state: Raw, last: ProjectionEvent) -> None:
        """Raises LeaseLost, StaleSave: start again from what is saved."""
        await self._ask(
            contract.save,
            contract.SaveState(
                name=self._definition.name,
                partition_key=partition,
                state=state,
                last_event_id=last.id,
                last_event_seq=last.seq,
                last_event_time=last.timestamp,
                lease=self.lease,
                generation=self.generation,
            ),
        )

    async def save_many(self, states: Sequence[tuple[str, Raw, ProjectionEvent]]) -> None:
        """Saves several partitions together: (partition, state, its last event). Raises as save; Unimplemented."""
        await self._ask(
            contract.save_many,
            contract.SaveStates(
                name=self._definition.name,
                states=[
                    contract.PartitionState(
                        partition_key=partition,
                        state=state,
                        last_event_id=last.id,
                        last_event_seq=last.seq,
                        last_event_time=last.timestamp,
                    )
                    for partition, state, last in states
                ],
                lease=self.lease,
                generation=self.generation,
            ),
        )

    async def ack(self, last: ProjectionEvent) -> None:
        """Raises LeaseLost, StaleSave: start again from the cursor."""
        await self._ask(
            contract.ack,
            contract.Ack(name=self._definition.name, last_event_id=last.id, last_event_seq=last.seq, lease=self.lease),
        )

    async def poll(self) -> list[ProjectionEvent]:
        """The next batch, perhaps an empty one that the server held back for a moment."""
        request = contract.Poll(
            name=self._definition.name,
            batch_size=self._definition.batch_size,
            lease=self.lease,
            generation=self.generation,
        )
        return [read_event(each) for each in (await self._ask(contract.poll, request, POLL_S)).events]

    async def stream(self) -> AsyncGenerator[list[ProjectionEvent], None]:
        """Events as they come, those that came at once together; none for a heartbeat alone.

        Ends when the server wants the runner to start again. Raises StreamingUnsupported, LeaseLost, ConnectionLost.
        """
        if not isinstance(self._transport, AsyncStreaming):
            raise StreamingUnsupported
        request = contract.Follow(
            name=self._definition.name,
            batch_size=self._definition.batch_size,
            accept_heartbeats=True,
            lease=self.lease,
            generation=self.generation,
        )
        ask = message_stream.stream_request(contract.follow, request, _read_frame)
        parts = self._transport.stream(ask.method, ask.path, {**self._headers, **ask.headers}, ask.body, REQUEST_S)
        try:
            async with aclosing(parts):
                async for part in parts:
                    yield [_framed(frame) for frame in ask.messages.feed(part) if frame.kind != HEARTBEAT]
        except Refused as refusal:
            if refusal.answer.status in _NO_STREAMS:
                raise StreamingUnsupported from None
            raise self._fault(refusal.answer) from None
        except Unimplemented as fault:
            raise StreamingUnsupported(fault.message) from None
        ask.messages.check_ended()

    def _held(self) -> contract.HeldLease:
        return contract.HeldLease(name=self._definition.name, lease=self.lease)

    async def _ask(self, operation: Operation[Req, Res], request: Req, timeout_s: float = REQUEST_S) -> Res:
        out = outgoing(operation, request, "rpc")
        headers = {**self._headers, **out.headers}
        answer = await self._transport.request(out.method, out.path, headers, out.body, timeout_s)
        if answer.status >= 300:
            raise self._fault(answer)
        return read_answer(operation, answer)

    def _fault(self, answer: Answer) -> IronflowError:
        fault = error_in(answer)
        if answer.status in _REFUSED_KEY:
            return ProjectionAuthError(f"The server refused this runner's API key: {fault.message}")
        return fault


class _Frame(msgspec.Struct, rename="camel"):
    """An event of a stream as the server writes it, read in one go: this is the runner's hot path."""

    id: str = ""
    name: str = ""
    data: Raw = NULL
    seq: int | str = 0
    timestamp: datetime | None = None
    source: str = ""
    metadata: dict[str, Any] = {}
    kind: str | int = ""
    version: int = 1
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


_read_frame = msgspec.json.Decoder(_Frame).decode


def _framed(frame: _Frame) -> ProjectionEvent:
    if not frame.id or frame.timestamp is None:
        raise Internal("The server sent an event without an id or a time.")
    return ProjectionEvent(
        id=frame.id,
        name=frame.name,
        data=from_payload(frame.data),
        seq=int(frame.seq),
        timestamp=frame.timestamp,
        source=frame.source,
        partition=str(frame.metadata.pop("__partition", contract.GLOBAL)),
        metadata=frame.metadata,
        version=frame.version,
        entity_id=frame.entity_id,
        entity_type=frame.entity_type,
        entity_version=frame.entity_version,
    )


def read_event(frame: contract.ProjectionEvent) -> ProjectionEvent:
    metadata: dict[str, Any] = from_payload(frame.metadata) if frame.metadata is not None else {}
    if frame.id is None or frame.name is None or frame.seq is None or frame.timestamp is None:
        raise Internal("The server sent an event without an id, a name, a time or a position in the log.")
    return ProjectionEvent(
        id=frame.id,
        name=frame.name,
        data=None if frame.data is None else from_payload(frame.data),
        seq=frame.seq,
        timestamp=frame.timestamp,
        source=frame.source or "",
        partition=str(metadata.pop("__partition", contract.GLOBAL)),
        metadata=metadata,
        version=frame.version or 1,
        entity_id=frame.entity_id,
        entity_type=frame.entity_type,
        entity_version=frame.entity_version,
    )
