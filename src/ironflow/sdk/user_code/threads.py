"""Threads for users' code that blocks.

There are as many as code is blocked at once: a pool with a limit could wait for itself, because a blocking handler
holds a thread while its steps need others. They end with the program, whatever they are doing.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from ironflow.sdk.user_code.cancellation import current

Work = Callable[[], None]

_IDLE_S = 10.0
_idle: list[queue.SimpleQueue[Work]] = []
_lock = threading.Lock()


async def in_thread(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What `fn` returns or raises, in a thread with this task's context. Cancelling leaves the thread to itself."""
    loop = asyncio.get_running_loop()
    answer_future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = copy_context()
    cancellation = current()

    def answered(answer: tuple[Any, BaseException | None]) -> None:
        if cancellation is not None:
            cancellation.thread_ended()
        if not answer_future.done():
            answer_future.set_result(answer)

    def work() -> None:
        try:
            answer = context.run(fn, *args, **kwargs), None
        except BaseException as error:  # noqa: BLE001 - raised again by the task that waits
            answer = None, error
        # The loop may be closed; then no task waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(answered, answer)

    if cancellation is not None:
        cancellation.thread_started()
    _start(work)
    value, error = await answer_future
    if error is not None:
        raise error
    return value


def _start(work: Work) -> None:
    with _lock:
        mailbox = _idle.pop() if _idle else None
    if mailbox is not None:
        mailbox.put(work)
    else:
        threading.Thread(target=_serve, args=(work,), name="ironflow-user-code", daemon=True).start()


def _serve(work: Work) -> None:
    mailbox: queue.SimpleQueue[Work] = queue.SimpleQueue()
    while True:
        work()
        with _lock:
            _idle.append(mailbox)
        try:
            work = mailbox.get(timeout=_IDLE_S)
        except queue.Empty:
            with _lock:
                if mailbox in _idle:
                    _idle.remove(mailbox)
                    return
            # Another thread took the mailbox in between; the work is on its way.
            work = mailbox.get()
