"""The client: emit events, invoke functions, look at what happened.

    async with ironflow.Client("http://localhost:9123") as client:
        emitted = await client.emit("order.placed", {"id": 7})

`ironflow.sync.Client` is made from this source by ironflow.sdk.generate_sync.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.operation import Operation, Req, Res
from ironflow.features.events import contract as events_contract
from ironflow.features.events.contract import Invoked
from ironflow.features.pubsub import contract as pubsub_contract
from ironflow.features.pubsub.contract import Published
from ironflow.features.query import contract as query_contract
from ironflow.features.server_state import contract as server_contract
from ironflow.features.server_state.contract import Capabilities, Health, Info, Nothing, Readiness
from ironflow.sdk.caller import Caller
from ironflow.sdk.calls import Calls
from ironflow.sdk.definitions import EventDefinition, named
from ironflow.sdk.outcomes import first_output, output_of, wait_times
from ironflow.sdk.payload import batch_item, from_payload, to_payload
from ironflow.sdk.retries import Retries
from ironflow.sdk.rooms.bulk import BulkJobs
from ironflow.sdk.rooms.commands import Commands
from ironflow.sdk.rooms.config import Config
from ironflow.sdk.rooms.consumer_groups import ConsumerGroups
from ironflow.sdk.rooms.debounces import Debounces
from ironflow.sdk.rooms.events import Events
from ironflow.sdk.rooms.functions import Functions
from ironflow.sdk.rooms.kv import Kv
from ironflow.sdk.rooms.projections import Projections
from ironflow.sdk.rooms.runs import Runs
from ironflow.sdk.rooms.schemas import Schemas
from ironflow.sdk.rooms.sql_projections import SqlProjections
from ironflow.sdk.rooms.streams import Streams
from ironflow.sdk.rooms.topics import Topics
from ironflow.sdk.rooms.workers import Workers
from ironflow.sdk.sql import SqlResult
from ironflow.sdk.subscription import AckMode, Backpressure, OnError, Subscription, Wish
from ironflow.sdk.transport import AsyncTransport
from ironflow.sdk.views import Emitted, RunResult, view
from ironflow.sdk.wire import Prefer


class Client:
    """A server's client. Close it, or use it as a context manager.

    url, api_key, environment: None takes IRONFLOW_SERVER_URL, IRONFLOW_API_KEY, IRONFLOW_ENV, else the local server.
    timeout: for each call with its retries. Inside a handler, what it emits is linked to the run.
    Every method raises the error that the server raised, ConnectionLost or DeadlineExceeded.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        environment: str | None = None,
        timeout: Duration = "30s",
        retries: Retries | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        self._caller = Caller.found(url, api_key, environment)
        self._calls = Calls(self._caller, timeout, retries or Retries(), transport)
        self.runs = Runs(self._calls)
        self.functions = Functions(self._calls)
        self.events = Events(self._calls)
        self.bulk = BulkJobs(self._calls)
        self.debounces = Debounces(self._calls)
        self.streams = Streams(self._calls)
        self.workers = Workers(self._calls)
        self.kv = Kv(self._calls)
        self.sql_projections = SqlProjections(self._calls)
        self.topics = Topics(self._calls)
        self.consumer_groups = ConsumerGroups(self._calls)
        self.projections = Projections(self._calls)
        self.schemas = Schemas(self._calls)
        self.config = Config(self._calls)

    def commands(self, bucket: str = "commands", *, ttl: Duration = "7d", lease: Duration = "5m") -> Commands:
        """Commands that are carried out once however often they are sent, kept in that key-value bucket.

        ttl: for so long a command is known. lease: after so long a claim that was never finalized can be taken over.
        """
        return Commands(self.kv, bucket, ttl, lease)

    async def emit(
        self,
        name: str | EventDefinition,
        data: Any = None,
        *,
        idempotency_key: str = "",
        version: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        namespace: str = "default",
    ) -> Emitted:
        """Records an event and starts the runs it triggers; answers when both are durable.

        name: or a definition, whose version the event then has. data: any JSON.
        idempotency_key: the same key within 7 days answers the first emit's ids again.
        Raises InvalidEvent, EventTooLarge, SchemaViolation, SerializationError.
        """
        name, version = named(name, version)
        request = events_contract.Emit(
            event=name,
            data=to_payload(data, f"the data of event {name!r}"),
            idempotency_key=idempotency_key,
            version=version,
            metadata=None if metadata is None else to_payload(metadata, "the metadata"),
            namespace=namespace,
        )
        return view(Emitted, await self._calls.call(events_contract.emit, request))

    async def emit_sync(
        self,
        name: str | EventDefinition,
        data: Any = None,
        *,
        timeout: Duration | None = None,
        idempotency_key: str = "",
        version: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        namespace: str = "default",
    ) -> Any:
        """As emit, then waits for the runs and answers the output of the first.

        timeout: how long to wait for them; None for the server's default of 30 s.
        Raises RunFailedError, RunCancelledError, NoRunStarted, or DeadlineExceeded when the run goes on.
        """
        name, version = named(name, version)
        timeout_ms, call_s = wait_times(timeout)
        request = events_contract.EmitSync(
            event=name,
            data=to_payload(data, f"the data of event {name!r}"),
            idempotency_key=idempotency_key,
            timeout_ms=timeout_ms,
            version=version,
            metadata=None if metadata is None else to_payload(metadata, "the metadata"),
            namespace=namespace,
        )
        found = await self._calls.call(events_contract.emit_sync, request, timeout=call_s)
        return first_output([view(RunResult, each) for each in found.results], name, found.event_id)

    async def emit_batch(self, events: Sequence[Mapping[str, Any]]) -> list[Emitted]:
        """Records many events in one transaction; answers one result for each, in order.

        events: mappings with `name` (a text or a definition) and, as in emit, `data`, `idempotency_key`, `version`,
        `metadata`, `namespace`.
        A bad event does not stop the others: its result carries an `error`.
        """
        items = [batch_item(event, place) for place, event in enumerate(events)]
        found = await self._calls.call(events_contract.emit_batch, events_contract.EmitBatch(events=items))
        return [view(Emitted, each) for each in found.results]

    async def invoke(self, function_id: str, data: Any = None, *, idempotency_key: str = "") -> Invoked:
        """Starts one run of one function, whatever its triggers. Raises FunctionNotFound, FunctionNotActive."""
        request = events_contract.Invoke(
            function_id=function_id,
            data=to_payload(data, f"the input of {function_id!r}"),
            idempotency_key=idempotency_key,
        )
        return await self._calls.call(events_contract.invoke, request)

    async def invoke_sync(
        self, function_id: str, data: Any = None, *, timeout: Duration | None = None, idempotency_key: str = ""
    ) -> Any:
        """As invoke, then waits for the run and answers its output.

        Raises RunFailedError, RunCancelledError, or DeadlineExceeded when the run goes on after `timeout`.
        """
        timeout_ms, call_s = wait_times(timeout)
        request = events_contract.InvokeSync(
            function_id=function_id,
            data=to_payload(data, f"the input of {function_id!r}"),
            timeout_ms=timeout_ms,
            idempotency_key=idempotency_key,
        )
        found = await self._calls.call(events_contract.invoke_sync, request, timeout=call_s)
        return output_of(view(RunResult, found.result))

    async def publish(self, topic: str, data: Any = None, *, idempotency_key: str = "") -> Published:
        """Publishes a message to a topic; it starts no function. Raises InvalidTopic, SerializationError.

        idempotency_key: the same key on this topic within 7 days answers the first message again, as `duplicate`.
        """
        request = pubsub_contract.Publish(
            topic=topic,
            data=to_payload({} if data is None else data, f"the message to topic {topic!r}"),
            idempotency_key=idempotency_key,
        )
        return await self._calls.call(pubsub_contract.publish, request)

    async def sql(self, query: str, *, max_rows: int = 1000, timeout: Duration = "5s") -> SqlResult:
        """The answer to one SELECT over the events, runs, steps, streams and projections of this environment.

        max_rows: at most 10000; `truncated` says that there are more. timeout: of the query, at most 30 s.
        Raises InvalidSql, QueryTooSlow.
        """
        timeout_ms = duration_ms(timeout)
        request = query_contract.ExecuteSql(query=query, timeout_ms=timeout_ms, max_rows=max_rows)
        found = await self._calls.call(query_contract.execute, request, timeout=timeout_ms / 1000 + 5)
        rows = [from_payload(row) for row in found.rows]
        return SqlResult(
            columns=found.columns, types=found.types, rows=rows, total_count=found.total_rows, truncated=found.truncated
        )

    def subscribe(
        self,
        pattern: str,
        *,
        replay: int = 0,
        after: int | None = None,
        filter: str = "",
        namespace: str = "",
        group: str = "",
        ack: AckMode = "auto",
        backpressure: Backpressure | None = None,
        on_error: OnError | None = None,
    ) -> Subscription:
        """Events of a pattern as they happen: iterate over it. It connects again by itself and goes on where it was.

        pattern: `order.*`, `topic:mail`, `entity:cart.7.>`, `system.run.>`. replay: the last n events first. after: all
        that follow this sequence first, 0 for all there are. filter: CEL over data, topic, name and timestamp.
        group: be a member of this consumer group; with ack="manual" each event is settled by `event.ack()`.
        on_error: told of every failure that is survived. The iterator raises the others: InvalidPattern,
        InvalidExpression, InvalidSubscription, CannotConnect for the first connection, Unauthenticated and
        PermissionDenied.
        """
        wish = Wish(pattern, replay, after, filter, namespace, group, ack, backpressure)
        return Subscription(self._caller, wish, on_error)

    async def health(self) -> Health:
        """Whether the server's process is alive."""
        return await self._calls.call(server_contract.health, Nothing())

    async def ready(self) -> Readiness:
        """Whether the server can do its work now: `issues` is empty when it can."""
        return await self._calls.call(server_contract.ready, Nothing())

    async def capabilities(self) -> Capabilities:
        """What the server offers."""
        return await self._calls.call(server_contract.capabilities, Nothing())

    async def info(self) -> Info:
        """Version, age and size of the server."""
        return await self._calls.call(server_contract.info, Nothing())

    async def call(
        self,
        operation: Operation[Req, Res],
        request: Req,
        *,
        timeout: Duration | None = None,
        prefer: Prefer = "rest",
    ) -> Res:
        """Any operation of a contract; payloads in its messages are JSON as sent. prefer: where it has two wires."""
        return await self._calls.call(operation, request, timeout=timeout, prefer=prefer)

    async def close(self) -> None:
        """Closes the connections. The client opens new ones if it is used again."""
        await self._calls.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._caller.url}>"
