"""Branches of a parallel: side by side, ended together.

Source: protocol/step-semantics.md 7, the Python column. A wait in a branch beats errors, because the run is not over.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ironflow.base.errors import ValidationError
from ironflow.sdk.signals import Yield
from ironflow.sdk.usercode import call

OnError = Literal["fail_fast", "collect"]


async def run_branches(
    branches: Sequence[Callable[[], Any]], concurrency: int | None, on_error: OnError, on_loop: bool
) -> list[Any]:
    """What each branch returned, in order; with `collect`, exceptions in the place of those that failed.

    concurrency: how many run at a time, None for all. on_loop: branches that are plain functions only make coroutines.
    After a wait, and with `fail_fast` after an error, no further branch is started, those that run are finished, and
    the wait, or else the error, of the first such branch is raised.
    """
    if concurrency is not None and concurrency < 1:
        raise ValidationError(f"concurrency is {concurrency!r}; at least one branch runs at a time.")
    if on_error not in ("fail_fast", "collect"):
        raise ValidationError(f"on_error is {on_error!r}; write 'fail_fast' or 'collect'.")
    results: list[Any] = [None] * len(branches)
    waits: dict[int, Yield] = {}
    errors: dict[int, BaseException] = {}
    lanes = min(concurrency or len(branches), len(branches))
    coming = iter(range(lanes, len(branches)))

    async def lane(first: int) -> None:
        index: int | None = first
        while index is not None:
            try:
                results[index], error = await call(branches[index], on_loop=on_loop)
            except Yield as wait:
                waits[index] = wait
            else:
                if error is not None:
                    results[index] = errors[index] = error
            stopped = waits or (errors and on_error == "fail_fast")
            index = None if stopped else next(coming, None)

    await asyncio.gather(*map(lane, range(lanes)))
    if waits:
        raise waits[min(waits)]
    if errors and on_error == "fail_fast":
        raise errors[min(errors)]
    return results
