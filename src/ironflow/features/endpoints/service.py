"""What happens: circuit breakers are listed and reset."""

from builtins import list as list_
from typing import Any

from ironflow.base.call import Call
from ironflow.base.time import Millis, to_datetime
from ironflow.features.endpoints import contract, in_tx, store
from ironflow.features.endpoints.rules import CLOSED, Breaker, endpoint_id, state_of
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.runs.in_tx import job_key
from ironflow.storage.port import Database, Tx


class Endpoints:
    """The endpoints of push functions."""

    def __init__(self, db: Database, index: FunctionIndex) -> None:
        self._db = db
        self._index = index

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.list_: self.list, contract.reset: self.reset}

    async def list(self, call: Call, request: contract.ListBreakers) -> contract.CircuitBreakers:
        def look(tx: Tx) -> contract.CircuitBreakers:
            self._index.refresh(tx)
            endpoints = self._functions(call.environment)
            urls = sorted(url for url in endpoints if url > request.cursor)
            page = urls[: request.limit]
            found = store.breakers(tx, call.environment, page)
            messages = [_message(url, endpoints[url], found.get(url, CLOSED), call.now) for url in page]
            more = page[-1] if len(urls) > len(page) else None
            return contract.CircuitBreakers(circuit_breakers=messages, next_cursor=more)

        # The index belongs to the event loop's transactions.
        return await self._db.peek(look)

    async def reset(self, call: Call, request: contract.ResetBreaker) -> contract.CircuitBreaker:
        def change(tx: Tx) -> contract.CircuitBreaker:
            self._index.refresh(tx)
            endpoints = self._functions(call.environment)
            function = self._index.get(call.environment, request.endpoint)
            url = function.push.url if function is not None and function.push is not None else request.endpoint
            if url not in endpoints:
                raise contract.EndpointNotFound(
                    f"No push function of environment {call.environment!r} has the endpoint or id "
                    f"{request.endpoint[:200]!r}. `ironflow circuit-breaker list` shows the endpoints."
                )
            in_tx.succeeded(tx, call.environment, url, call.now)
            for function_id in endpoints[url]:
                tx.notify("jobs", job_key(call.environment, function_id))
            return _message(url, endpoints[url], CLOSED, call.now)

        return await self._db.write(change)

    def _functions(self, environment: str) -> dict[str, list_[str]]:
        """The functions of each endpoint, by id."""
        found: dict[str, list_[str]] = {}
        for function in sorted(self._index.pushed(), key=lambda each: each.id):
            if function.environment == environment and function.push is not None:
                found.setdefault(function.push.url, []).append(function.id)
        return found


def _message(url: str, functions: list[str], breaker: Breaker, now: Millis) -> contract.CircuitBreaker:
    return contract.CircuitBreaker(
        endpoint=url,
        id=endpoint_id(url),
        functions=functions,
        state=state_of(breaker, now),
        failures=breaker.failures,
        until=to_datetime(breaker.open_until) if breaker.open_until > now else None,
        error=breaker.error or None,
        failed_at=to_datetime(breaker.failed_at) if breaker.failed_at else None,
    )
