"""The transports of a server, and the application they make together."""

from collections.abc import Mapping

from ironflow.base.call import Call
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.urgency import Urgency
from ironflow.dashboard.site import Site
from ironflow.dispatch import Dispatch
from ironflow.features.parts import Metric, Parts
from ironflow.server.loops import Loops
from ironflow.server.metrics import Metrics
from ironflow.transports.app import App
from ironflow.transports.connect_codecs import Codecs
from ironflow.transports.connect_streams import ConnectStreams
from ironflow.transports.connectrpc import PREFIX, Connect
from ironflow.transports.context import CallContext
from ironflow.transports.event_stream import EventStreams
from ironflow.transports.grpc import Grpc
from ironflow.transports.http import Request
from ironflow.transports.measures import HttpMeasures
from ironflow.transports.origins import Origins
from ironflow.transports.rest import Rest
from ironflow.transports.websocket import Sockets


class Wires:
    """Every transport, bound to the operations of `dispatch`. app: the ASGI application. metrics: their numbers too."""

    def __init__(self, dispatch: Dispatch, parts: Parts, loops: Loops) -> None:
        context = CallContext(dispatch)
        codecs = Codecs()
        bytes_max = parts.settings.body_bytes_max
        streams = self.streams = ConnectStreams(dispatch, context, bytes_max, codecs)
        event_streams = EventStreams(dispatch, context)
        settings = parts.settings
        origins = Origins(
            _names(settings.allowed_hosts), _names(settings.cors_origins), checks=not settings.enforces_auth
        )
        sockets = Sockets(dispatch, context, origins=origins)
        self.lifecycles: list[Lifecycle] = [dispatch.connections, streams, event_streams, sockets]

        def open_connections() -> dict[tuple[str, ...], float]:
            return {(kind,): count for kind, count in dispatch.connections.counts().items()}

        def by_urgency(numbers: Mapping[Urgency, int]) -> dict[tuple[str, ...], float]:
            return {(urgency,): number for urgency, number in numbers.items()}

        load = parts.db.load
        http = HttpMeasures()
        labels = ("method", "path", "status_code")
        metrics = [
            *parts.metrics,
            Metric("ironflow_http_requests", "HTTP requests.", "counter", labels, read=http.requests),
            Metric(
                "ironflow_http_request_duration_seconds",
                "Time until the answer begins.",
                "histogram",
                labels,
                spread=lambda: http.seconds.series,
            ),
            Metric(
                "ironflow_connections", "Long-lived connections, by kind.", "gauge", ("kind",), read=open_connections
            ),
            Metric(
                "ironflow_database_waiting",
                "Transactions that wait for their turn: new work, work under way, the server's own.",
                "gauge",
                ("urgency",),
                read=lambda: by_urgency(load().waiting),
            ),
            Metric(
                "ironflow_database_refused",
                "Transactions that were refused because they had waited too long.",
                "counter",
                ("urgency",),
                read=lambda: by_urgency(load().refused),
            ),
            Metric(
                "ironflow_loop_done", "What loops have done.", "counter", ("loop", "what"), read=lambda: loops.counts
            ),
        ]
        rest = Rest(dispatch, context, bytes_max)
        # Of all, for the operator's own collector.
        self.metrics = Metrics(parts.db, dispatch.counts, metrics)
        demands_key = settings.enforces_auth and settings.metrics_key
        shown = [each for each in metrics if not each.of_tenants or demands_key or not settings.enforces_auth]

        async def call_of(request: Request) -> Call:
            call = await context.call_of(request.headers, "server:read", request.link)
            dispatch.authorise(call, "server:read", None)
            return call

        page = Metrics(parts.db, dispatch.counts, shown, call_of if demands_key else None)
        self.app = App(
            [(PREFIX, Connect(dispatch, context, bytes_max, codecs)), ("/", rest)],
            # REST answers 404 for it; the dashboard would answer with its page.
            {"/metrics": page if settings.metrics else rest},
            bytes_max,
            (Grpc(), streams, event_streams),
            sockets,
            Site(),
            rest.has_route,
            http,
            origins,
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
