"""Tasks that belong together."""

import asyncio


async def run_until_first_failure(*tasks: "asyncio.Task[None]") -> None:
    """Waits until all have ended or one has raised, which is raised here; the others are cancelled then.

    A task that is cancelled has ended. Not a TaskGroup, for what was raised is wanted bare.
    """
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled() and (fault := task.exception()) is not None:
                raise fault
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def cancel_and_wait(task: "asyncio.Task[None] | None") -> None:
    """Cancels a task and waits until it has ended."""
    if task is not None and task is not asyncio.current_task():
        task.cancel()
        await asyncio.wait([task])
