"""What happens: an endpoint is asked, and its functions are compared with those that are registered."""

import asyncio
from typing import Any

from ironflow.base.call import Call
from ironflow.base.json import InvalidJson
from ironflow.base.outgoing import RequestFailed
from ironflow.base.spelling import BadField
from ironflow.features.discovery import contract, rules
from ironflow.features.functions.in_tx import FunctionIndex, check_endpoint, function
from ironflow.features.push.service import Push
from ironflow.storage.port import Database, Tx

TIMEOUT_S = 10.0
BYTES_MAX = 4 * 1024 * 1024


class Discovery:
    """Endpoints as they are asked by the server, from the network in which it calls them."""

    def __init__(self, db: Database, index: FunctionIndex, push: Push) -> None:
        self._db, self._index, self._push = db, index, push

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.discover: self.discover}

    async def discover(self, call: Call, request: contract.DiscoverEndpoint) -> contract.EndpointServes:
        call.require("functions:read")
        check_endpoint(request.url)
        url, landing = await self._landing(call, request.url)
        try:
            # In a thread: expressions of many functions take a second, for which the event loop would stand still.
            served = await asyncio.to_thread(rules.checked, landing, url)
        except contract.EndpointLocked as fault:
            raise contract.EndpointLocked(
                f"{fault.message} Give the server the same key, with the setting signing_key or signing_keys_file."
            ) from None
        except (BadField, InvalidJson) as fault:
            raise contract.NoEndpoint(f"{url} lists a function that cannot be read: {fault.message}") from None

        def compare(tx: Tx) -> list[contract.ServedFunction]:
            return [
                rules.served_function(each, function(tx, call.environment, each.registration.id)) for each in served
            ]

        def pushed(tx: Tx) -> set[str]:
            self._index.refresh(tx)
            return {each.id for each in self._index.pushed_to(call.environment, url)}

        functions = await self._db.read(compare)
        # The index belongs to the event loop's transactions.
        registered = await self._db.peek(pushed)
        return contract.EndpointServes(
            url=url,
            ironflow=landing.ironflow,
            functions=functions,
            unserved=sorted(registered - {each.id for each in functions}),
            projections=landing.projections,
            webhooks=landing.webhooks,
        )

    async def _landing(self, call: Call, url: str) -> tuple[str, contract.Landing]:
        """The address that has to be called, and what it serves."""
        try:
            answer = await self._push.look_at(call.environment, url, TIMEOUT_S, BYTES_MAX)
            if to := rules.slash_after(url, answer.status, answer.headers.get("location", "")):
                url, answer = to, await self._push.look_at(call.environment, to, TIMEOUT_S, BYTES_MAX)
        except RequestFailed as fault:
            raise contract.EndpointNotReached(f"{url} was not asked: {fault.message}") from None
        return url, rules.landing_of(url, answer.status, answer.body)
