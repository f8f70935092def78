"""A handler that is called with many addresses keeps the connections of few."""

import asyncio
import gc
from typing import Any

from ironflow import Context, function
from ironflow.sdk.serve.by_address import ADDRESSES_MAX
from ironflow.sdk.serve.messages import Callback
from ironflow.sdk.wire import sessions
from ironflow.serve import serve

WITHIN_S = 20


@function("charge", on="order.placed")
async def charge(ctx: Context) -> None: ...


def called_from(number: int) -> Any:
    return Callback(
        url=f"http://127.0.0.1:{number + 1}/api/v1/push/reports", job_id="j", execution_seq=1, lease_token="t"
    )


async def test_connections_of_the_least_recently_used_servers_are_closed():
    handler: Any = serve([charge], skip_verification=True)
    of_others = set(sessions._open)
    first = handler._callbacks.reporter(called_from(0).url)
    kept: Any = handler._run_clients(called_from(0))._transport._transport
    clients: Any = None
    for number in range(10 * ADDRESSES_MAX):
        clients = handler._run_clients(called_from(number))
        await clients._transport._transport._sessions.current()
        handler._publish(called_from(number))
        handler._callbacks.reporter(called_from(number).url)
        # An address in use stays.
        assert handler._callbacks.reporter(called_from(0).url) is first

    counts = [len(each) for each in (handler._of_runs, handler._publishers, handler._callbacks._reporters)]
    assert counts == [ADDRESSES_MAX] * 3
    del clients
    gc.collect()
    async with asyncio.timeout(WITHIN_S):
        # Those of the servers that are kept, and of an execution that is under way.
        while len(sessions._open - of_others) > ADDRESSES_MAX + 1:  # noqa: ASYNC110 there is no notification here
            await asyncio.sleep(0.01)
    assert not (await kept._sessions.current()).closed
    await kept.close()
    await handler.close()
    assert sessions._open <= of_others
    assert [len(each) for each in (handler._of_runs, handler._publishers, handler._callbacks._reporters)] == [0] * 3


async def test_each_server_gets_what_is_published_for_its_runs():
    handler: Any = serve([charge], skip_verification=True)

    assert handler._publish(called_from(1)) == handler._publish(called_from(1))
    assert handler._publish(called_from(1)) != handler._publish(called_from(2))
    await handler.close()
