"""Calling users' functions: async ones on the loop, others in a thread; what they raise comes back as a value.

This is the one place of the SDK that catches whatever user code may raise, as dispatch does for handlers of the server.
"""

import asyncio
import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ironflow.sdk.user_code.threads import in_thread


class TimedOut(Exception):
    """The call took longer than it was given. The body of an async function was cancelled, a thread goes on."""


async def call(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    timeout_s: float | None = None,
    *,
    on_loop: bool = False,
) -> tuple[Any, BaseException | None]:
    """(what `fn` returned, None), or (None, what it raised: any Exception, SystemExit, TimedOut).

    on_loop: call a plain function on the event loop too, because it only makes a coroutine.
    Cancellation and the SDK's own signals, which are BaseExceptions, pass through.
    """
    kwargs = kwargs or {}
    limit: asyncio.Timeout | None = None
    try:
        if timeout_s is None:
            if on_loop or is_async(fn):
                # The same as `_result`; saves a coroutine at every step.
                value = fn(*args, **kwargs)
                return (await value if inspect.isawaitable(value) else value), None
            return await _result(fn, args, kwargs, on_loop), None
        async with asyncio.timeout(timeout_s) as limit:
            return await _result(fn, args, kwargs, on_loop), None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything, and must not end the worker
        if limit is not None and limit.expired() and isinstance(error, TimeoutError):
            return None, TimedOut()
        return None, error


async def _result(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], on_loop: bool) -> Any:
    if on_loop or is_async(fn):
        value = fn(*args, **kwargs)
    else:
        value = await in_thread(fn, *args, **kwargs)
    return await value if inspect.isawaitable(value) else value


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` makes a coroutine, as far as that is known without calling it."""
    code = getattr(fn, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_COROUTINE:
        # What inspect finds too, but this is asked at every step.
        return True
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(fn.__call__)


def call_now(fn: Callable[..., Any], args: tuple[Any, ...] = ()) -> tuple[Any, BaseException | None]:
    """As `call`, for code without a loop: a plain function runs in this thread, what is to be awaited in another."""
    try:
        value = fn(*args)
        return (_awaited_elsewhere(value) if inspect.isawaitable(value) else value), None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        return None, error


def _awaited_elsewhere(value: Awaitable[Any]) -> Any:
    async def wait() -> Any:
        return await value

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, wait()).result()


async def observe(fn: Callable[..., Any], *args: Any) -> None:
    """Calls what only watches, async or not: its failure goes to stderr and changes nothing."""
    _report(fn, (await call(fn, args, on_loop=True))[1])


def observe_now(fn: Callable[..., Any], *args: Any) -> None:
    """As `observe`, for code without a loop."""
    _report(fn, call_now(fn, args)[1])


def _report(fn: Callable[..., Any], error: BaseException | None) -> None:
    if error is not None:
        sys.stderr.write(f"{fn!r} failed; what it was called for goes on.\n")
        traceback.print_exception(error)
