"""Streaming operations through dispatch: answers as they come, errors after some, an end when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from ironflow.base.call import Call
from ironflow.base.errors import DeadlineExceeded, Internal, NotFound
from ironflow.base.fields import Message
from ironflow.base.operation import Operation, operation
from ironflow.base.time import SystemClock
from ironflow.dispatch import Dispatch, anonymous

CALL = Call(environment="default", now=0)


class Count(Message, kw_only=True):
    to: int = 0


class Number(Message, kw_only=True):
    value: int


COUNT = operation("test.count", Count, Number, scope="public", streaming="server", doc="Counts.")


class Counter:
    """Counts up to `to`, then ends, or raises `then`, or says nothing more."""

    def __init__(self, then: BaseException | None = None, silent: bool = False) -> None:
        self.then, self.silent, self.closed = then, silent, False

    async def __call__(self, call: Call, request: Count) -> AsyncGenerator[Number, None]:
        try:
            for value in range(request.to):
                yield Number(value=value)
            if self.then is not None:
                raise self.then
            if self.silent:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def dispatch_with(counter: Counter) -> Dispatch:
    dispatch = Dispatch(anonymous(SystemClock()))
    # A bound method is what features give; an object that can be called must do as well.
    handlers: dict[Operation[Any, Any], Any] = {COUNT: counter.__call__}
    dispatch.bind(handlers)
    return dispatch


async def values(dispatch: Dispatch, seen: list[int], deadline_s: float | None = None) -> None:
    async for answer in dispatch.stream(COUNT, CALL, Count(to=2), deadline_s):
        seen.append(answer.value)  # noqa: PERF401 what came before an error counts


async def test_a_stream_gives_every_answer_and_is_counted_once():
    dispatch, seen = dispatch_with(Counter()), list[int]()
    await values(dispatch, seen)
    assert seen == [0, 1]
    assert dispatch.counts.calls == {("test.count", "ok"): 1}


@pytest.mark.parametrize(
    ("raised", "answered"),
    [(NotFound("gone"), NotFound), (LookupError("a secret"), Internal), (TimeoutError(), Internal)],
)
async def test_a_stream_that_fails_gives_what_it_had_and_then_the_error(
    raised: BaseException, answered: type[BaseException]
):
    dispatch, seen = dispatch_with(Counter(then=raised)), list[int]()
    with pytest.raises(answered) as caught:
        await values(dispatch, seen)
    assert seen == [0, 1]
    assert "secret" not in str(caught.value)
    assert list(dispatch.counts.calls) == [("test.count", answered.connect)]  # type: ignore[attr-defined]


async def test_a_silent_stream_ends_at_its_deadline():
    counter, seen = Counter(silent=True), list[int]()
    with pytest.raises(DeadlineExceeded, match="did not finish within"):
        await values(dispatch_with(counter), seen, deadline_s=0.01)
    assert seen == [0, 1]
    assert counter.closed


async def test_a_stream_that_its_client_leaves_is_closed():
    counter = Counter(silent=True)
    dispatch = dispatch_with(counter)
    answers = dispatch.stream(COUNT, CALL, Count(to=1))
    assert msgspec.structs.asdict(await anext(answers)) == {"value": 0}
    await answers.aclose()
    assert counter.closed
    assert dispatch.counts.calls == {("test.count", "canceled"): 1}
