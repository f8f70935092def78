"""Work that is begun at once."""

import asyncio

import pytest

from ironflow.features.conversations.eager import begin


async def test_work_that_does_not_wait_is_over_at_once():
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    assert begin(work()) is None
    assert done == [1]


async def test_work_that_waits_goes_on_as_a_task_with_what_it_waited_for():
    futures: list[asyncio.Future[int]] = [asyncio.get_running_loop().create_future() for _ in range(2)]
    results: list[int] = []

    async def work() -> str:
        results.append(await futures[0])
        results.append(await futures[1])
        await asyncio.sleep(0)
        return "over"

    task = begin(work())
    assert task is not None
    for number, future in enumerate(futures):
        future.set_result(number)
    assert await task == "over"
    assert results == [0, 1]


async def test_what_it_raises_comes_with_the_task():
    async def at_once() -> None:
        raise ValueError("at once")

    async def later() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    for work in (at_once, later):
        task = begin(work())
        assert task is not None
        with pytest.raises(ValueError, match=work.__name__.replace("_", " ")):
            await task


async def test_cancelled_work_can_tidy_up_and_even_go_on():
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tidied: list[str] = []

    async def work() -> str:
        try:
            await future
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            tidied.append("tidied")
            raise
        return "never"

    task = begin(work())
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tidied == ["tidied"]
