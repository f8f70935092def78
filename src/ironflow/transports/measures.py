"""Counters of HTTP requests for /metrics, by route template and never by path. Source: protocol/operating.md 3."""

import time
from collections.abc import Mapping
from typing import Any

from ironflow.base.measures import OTHER, Histogram, Labels, Spread
from ironflow.transports.http import Request, Send

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMeasures:
    """seconds: until the answer begins, by method, route and status."""

    def __init__(self) -> None:
        self.seconds = Histogram()
        # The series again: saves making the labels of each request.
        self._spreads: dict[tuple[str, str, int], Spread] = {}

    def requests(self) -> dict[Labels, float]:
        """How many there were."""
        return {labels: sum(spread.counts) for labels, spread in self.seconds.series.items()}

    def add(self, request: Request, status: int, began: float) -> None:
        """Counts a request whose answer begins now. began: as of time.perf_counter."""
        method = request.method if request.method in _METHODS else OTHER
        key = (method, request.route or OTHER, status)
        spread = self._spreads.get(key)
        if spread is None:
            spread = self._spreads[key] = self.seconds.spread((key[0], key[1], str(status)))
        spread.add(time.perf_counter() - began)

    def measured(self, request: Request, send: Send, began: float) -> Send:
        """`send` for a stream, which counts with the head of its answer."""

        async def sending(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.add(request, message["status"], began)
            await send(message)

        return sending
