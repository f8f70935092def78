"""The client: emit events, invoke functions, look at what happened.

    async with ironflow.Client("http://localhost:9123") as client:
        emitted = await client.emit("order.placed", {"id": 7})

`ironflow.sync.Client` is made from this source by ironflow.sdk.client.generate_sync.
"""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.operation import Operation, Req, Res
from ironflow.features.events import contract as events_contract
from ironflow.features.messages import contract as messages_contract
from ironflow.features.messages.contract import Sent
from ironflow.features.pubsub import contract as pubsub_contract
from ironflow.features.pubsub.contract import Published
from ironflow.features.query import contract as query_contract
from ironflow.features.server_state import contract as server_contract
from ironflow.features.server_state.contract import Capabilities, Health, Info, Nothing, Readiness, Setting
from ironflow.sdk.client.commands import Commands
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.hooks import OnClientError, OnRetry
from ironflow.sdk.client.connection.subscription import (
    AckMode,
    Backpressure,
    OnChange,
    OnError,
    OnFault,
    Subscription,
    SubscriptionRequest,
    SubscriptionTransport,
)
from ironflow.sdk.client.features.api_keys import ApiKeys
from ironflow.sdk.client.features.audit import Audit
from ironflow.sdk.client.features.bulk import BulkJobs
from ironflow.sdk.client.features.config import Config
from ironflow.sdk.client.features.consumer_groups import ConsumerGroups
from ironflow.sdk.client.features.debounces import Debounces
from ironflow.sdk.client.features.endpoints import Endpoints
from ironflow.sdk.client.features.entities import Entities
from ironflow.sdk.client.features.environments import Environments
from ironflow.sdk.client.features.events import Events
from ironflow.sdk.client.features.functions import Functions
from ironflow.sdk.client.features.jobs import Workers
from ironflow.sdk.client.features.kv import Kv
from ironflow.sdk.client.features.limits import Limits
from ironflow.sdk.client.features.orgs import Orgs
from ironflow.sdk.client.features.policies import Policies
from ironflow.sdk.client.features.projections import Projections
from ironflow.sdk.client.features.projects import Projects
from ironflow.sdk.client.features.pubsub import Topics
from ironflow.sdk.client.features.roles import Roles
from ironflow.sdk.client.features.runs import Runs
from ironflow.sdk.client.features.schedules import Schedules
from ironflow.sdk.client.features.schemas import Schemas
from ironflow.sdk.client.features.secrets import Secrets
from ironflow.sdk.client.features.sessions import Sessions
from ironflow.sdk.client.features.sql_projections import SqlProjections
from ironflow.sdk.client.features.streams import Streams
from ironflow.sdk.client.features.tenants import Tenants
from ironflow.sdk.client.features.users import Users
from ironflow.sdk.client.features.webhooks import Webhooks
from ironflow.sdk.client.starting import Starting
from ironflow.sdk.client.views import Emitted, RunResult, view
from ironflow.sdk.client.views.asking import answer_of
from ironflow.sdk.client.views.run_results import EmitResult, emit_result, wait_times
from ironflow.sdk.user_code.logs import LoggerChoice
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.definitions import EventDefinition, named
from ironflow.sdk.values.payload import batch_item, from_payload, to_payload
from ironflow.sdk.values.run_keys import reference
from ironflow.sdk.values.sql_result import SqlResult
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.operations import Prefer
from ironflow.sdk.wire.reconnect import Reconnect
from ironflow.sdk.wire.retries import Retries
from ironflow.sdk.wire.tracing import Tracing
from ironflow.sdk.wire.transport import AsyncTransport, Reopening

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

# How long one request for an answer is held by the server.
HOLD_S = 20.0


class Client(Starting):
    """A server's client. Close it, or use it as a context manager.

    url, api_key, environment: None takes IRONFLOW_SERVER_URL, IRONFLOW_API_KEY, IRONFLOW_ENV, else the local server.
    timeout: for each call with its retries. Inside a handler, what it emits is linked to the run.
    reconnect: of subscriptions and watches. None has them connect again as soon as calls are repeated, and for ever.
    on_error: called as `on_error(error, context)` for every error that a method is about to raise, after its retries;
    an async one is awaited. context: method, endpoint, status_code. on_retry: called with attempt, max_attempts, error
    and delay before each retry. What they raise goes to stderr.
    logger: anything with debug, info, warning and error; False for none, None for `logging`.
    tracer_provider: of OpenTelemetry; None takes the global one, where the program has set one. What a call emits,
    starts or publishes is in the trace of the call.
    codec: encodes what the server stores of the user's data, and decodes it again.
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
        reconnect: Reconnect | None = None,
        on_error: OnClientError | None = None,
        on_retry: OnRetry | None = None,
        logger: LoggerChoice = None,
        transport: AsyncTransport | None = None,
        tracer_provider: "TracerProvider | None" = None,
        codec: Codec | None = None,
    ) -> None:
        self._endpoint = Endpoint.resolve(url, api_key, environment)
        self._calls = Calls(
            self._endpoint,
            timeout,
            retries or Retries(),
            transport,
            reconnect,
            on_error=on_error,
            on_retry=on_retry,
            logger=logger,
            tracing=Tracing(tracer_provider),
            codec=codec,
        )
        self.runs = Runs(self._calls)
        self.functions = Functions(self._calls)
        self.events = Events(self._calls)
        self.bulk = BulkJobs(self._calls)
        self.debounces = Debounces(self._calls)
        self.endpoints = Endpoints(self._calls)
        self.streams = Streams(self._calls)
        self.entities = Entities(self._calls)
        self.workers = Workers(self._calls)
        self.kv = Kv(self._calls)
        self.sql_projections = SqlProjections(self._calls)
        self.topics = Topics(self._calls)
        self.consumer_groups = ConsumerGroups(self._calls)
        self.projections = Projections(self._calls)
        self.schedules = Schedules(self._calls)
        self.schemas = Schemas(self._calls)
        self.config = Config(self._calls)
        self.environments = Environments(self._calls)
        self.api_keys = ApiKeys(self._calls)
        self.users = Users(self._calls)
        self.sessions = Sessions(self._calls)
        self.roles = Roles(self._calls)
        self.policies = Policies(self._calls)
        self.webhooks = Webhooks(self._calls)
        self.secrets = Secrets(self._calls)
        self.audit = Audit(self._calls)
        self.tenants = Tenants(self._calls)
        self.projects = Projects(self._calls)
        self.orgs = Orgs(self._calls)
        self.limits = Limits(self._calls)

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
    ) -> EmitResult:
        """As emit, then waits for the runs. The result's `output` is that of the first run, `runs` has all of them.

        timeout: how long to wait for them; None for the server's default of 30 s.
        Raises RunFailedError or RunCancelledError when any of them did not complete, DeadlineExceeded when one goes on,
        NoRunStarted.
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
        return emit_result([view(RunResult, each) for each in found.results], name, found.event_id)

    async def emit_batch(self, events: Sequence[Mapping[str, Any]], *, atomic: bool = True) -> list[Emitted]:
        """Records many events in one transaction; answers one result for each, in order.

        events: mappings with `name` (a text or a definition) and, as in emit, `data`, `idempotency_key`, `version`,
        `metadata`, `namespace`.
        atomic: one bad event refuses all of them with BatchRefused, whose `details["index"]` names it. With False a bad
        event does not stop the others: its result carries an `error`.
        """
        items = [batch_item(event, place) for place, event in enumerate(events)]
        request = events_contract.EmitBatch(events=items, atomic=atomic)
        found = await self._calls.call(events_contract.emit_batch, request)
        return [view(Emitted, each) for each in found.results]

    async def send(
        self,
        function_id: str,
        key: str,
        name: str,
        data: Any = None,
        *,
        start: bool = False,
        input: Any = None,
        idempotency_key: str = "",
    ) -> Sent:
        """Sends a message to the run of that key; answers when it is durable.

        key: empty where function_id is the id of a run. start: starts the run with `input` if there is none; two
        senders at once make one run.
        Raises RunNotFound, ReceiverEnded, InboxFull, InvalidRunMessage, SerializationError.
        """
        request = messages_contract.SendMessage(
            run_id=reference(function_id, key),
            name=name,
            data=to_payload(data, f"message {name!r}"),
            start=start,
            input=to_payload(input, f"the input of {function_id!r}"),
            idempotency_key=idempotency_key,
        )
        return await self._calls.call(messages_contract.send, request)

    async def ask(
        self,
        function_id: str,
        key: str,
        name: str,
        data: Any = None,
        *,
        timeout: Duration = "30s",
        start: bool = False,
        input: Any = None,
        idempotency_key: str = "",
    ) -> Any:
        """As send, then waits for the answer that the run gives with `msg.reply`.

        The same idempotency key gets the same answer again.

        Raises AskRefused when the run refuses, AskUnanswered when it ends without an answer, and AskPending after
        `timeout`; `details` has the message's id and whether it was taken. Otherwise as send.
        """
        timeout_s = duration_ms(timeout) / 1000
        deadline = monotonic() + timeout_s
        asked = idempotency_key or f"ask-{uuid4().hex}"
        while True:
            left_s = max(deadline - monotonic(), 0)
            request = messages_contract.Ask(
                run_id=reference(function_id, key),
                name=name,
                data=to_payload(data, f"message {name!r}"),
                start=start,
                input=to_payload(input, f"the input of {function_id!r}"),
                idempotency_key=asked,
                wait_ms=int(min(left_s, HOLD_S) * 1000),
            )
            found = await self._calls.call(messages_contract.ask, request, timeout=min(left_s, HOLD_S) + 10)
            if found.state != "accepted" or left_s <= HOLD_S:
                return answer_of(found, name)

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
        prefetch: int = 4,
        on_error: OnError | None = None,
        reconnect: Reconnect | None = None,
        transport: SubscriptionTransport = "websocket",
    ) -> Subscription:
        """Events of a pattern as they happen: iterate over it. It connects again by itself and goes on where it was.

        pattern: `order.*`, `topic:mail`, `entity:cart.7.>`, `system.run.>`. replay: the last n events first. after: all
        that follow this sequence first, 0 for all there are. filter: CEL over data, topic, name and timestamp.
        group: be a member of this consumer group, which is created if there is none. An event is extended while the
        loop works on it. With ack="auto" it is acked when the loop asks for the next one, else by `event.ack()`.
        prefetch: the events that a member has unsettled at a time.
        reconnect: None for the client's own. transport: `grpc` is a stream of PubSubService/Subscribe, for networks
        that let no WebSocket through; `auto` takes it where the handshake of a WebSocket fails so. A member of a group
        has a stream for its events and requests for its acks; with `grpc` one stream for both, where HTTP/2 passes.
        on_error: called for every failure after which it continues. The iterator raises the others: InvalidPattern,
        InvalidExpression, InvalidSubscription, CannotConnect for the first connection, Unauthenticated and
        PermissionDenied.
        """
        request = SubscriptionRequest(
            pattern, replay, after, filter, namespace, group, ack, backpressure, prefetch, transport
        )
        return Subscription(self._endpoint, request, on_error, self._calls, reconnect, codec=self._calls.codec)

    def on_connection_change(self, fn: OnChange) -> Callable[[], None]:
        """Calls `fn(state)` whenever the state of one of its subscriptions changes. Returns what removes it.

        A subscription has the same method for its own. A failure of `fn`, a plain function, goes to stderr.
        """
        return self._calls.hooks.observers.add_on_change(fn)

    def on_subscription_error(self, fn: OnFault) -> Callable[[], None]:
        """Calls `fn(error)` for each failure of a subscription, whether it goes on or not. Returns what removes it."""
        return self._calls.hooks.observers.add_on_fault(fn)

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

    async def settings(self) -> list[Setting]:
        """Each setting of the server with its value and where it came from; secrets as stars."""
        return (await self._calls.call(server_contract.settings, Nothing())).settings

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
        """Closes the connections. Calls raise ConnectionLost from now on, until it is entered again."""
        await self._calls.transport.close()

    async def __aenter__(self) -> Self:
        if isinstance(self._calls.transport, Reopening):
            self._calls.transport.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._endpoint.url}>"
