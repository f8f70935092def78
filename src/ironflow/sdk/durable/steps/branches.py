"""The branches of a parallel: run concurrently, ended together.

Source: docs/reference/semantics.md, "Waiting together, time-outs, early events". All branches go on as far as they can;
those that wait are waited for together.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ironflow.base.errors import ValidationError
from ironflow.sdk.durable.steps.signals import Yield
from ironflow.sdk.user_code.call import call

# failFast and allSettled: as the documents of the JavaScript SDK name them.
FailFast = Literal["fail_fast", "failFast"]
OnError = FailFast | Literal["collect", "allSettled"]
_COLLECTS = {"fail_fast": False, "failFast": False, "collect": True, "allSettled": True}


def collects(on_error: str) -> bool:
    """Whether errors are put in the place of results. Raises ValidationError for what is no way to handle them."""
    if on_error not in _COLLECTS:
        raise ValidationError(f"on_error is {on_error!r}; write 'fail_fast' or 'collect'.")
    return _COLLECTS[on_error]


def is_race(until: str, on_error: str) -> bool:
    """Whether the first success ends a parallel. Raises ValidationError for what is not known, or has no effect."""
    collects(on_error)
    if until not in ("all", "first_success"):
        raise ValidationError(f"until is {until!r}; write 'first_success', or leave it out.")
    if until == "first_success" and on_error != "fail_fast":
        raise ValidationError(
            f"on_error={on_error!r} has no effect with until='first_success', which goes on after errors and raises "
            "AllBranchesFailed with all of them. Leave out one of the two."
        )
    return until == "first_success"


def check_concurrency(concurrency: int | None) -> None:
    """Raises ValidationError."""
    if concurrency is not None and concurrency < 1:
        raise ValidationError(f"concurrency is {concurrency!r}; at least one branch runs at a time.")


async def run_branches(
    branches: Sequence[Callable[[], Any]],
    concurrency: int | None,
    on_error: OnError,
    on_loop: bool,
    cancel_waits: Callable[[], None],
) -> list[Any]:
    """What each branch returned, in order; with `collect`, an exception for each that failed.

    concurrency: how many run at a time, None for all. on_loop: branches that are plain functions only make coroutines.
    A branch that waits counts among `concurrency`. With `fail_fast` after an error no further branch is started, those
    that run are finished, `cancel_waits` is called for those that wait, and the error of the first branch that failed
    is raised. Otherwise Yield is raised when a branch waits.
    """
    check_concurrency(concurrency)
    fails_fast = not collects(on_error)
    results: list[Any] = [None] * len(branches)
    waiting: Yield | None = None
    errors: dict[int, BaseException] = {}
    lanes = min(concurrency or len(branches), len(branches))
    coming = iter(range(lanes, len(branches)))

    async def lane(first: int) -> None:
        nonlocal waiting
        index: int | None = first
        while index is not None:
            try:
                results[index], error = await call(branches[index], on_loop=on_loop)
            except Yield as wait:
                waiting = wait
                return
            if error is not None:
                results[index] = errors[index] = error
            index = None if errors and fails_fast else next(coming, None)

    await asyncio.gather(*map(lane, range(lanes)))
    if errors and fails_fast:
        cancel_waits()
        raise errors[min(errors)]
    if waiting is not None:
        raise waiting
    return results
