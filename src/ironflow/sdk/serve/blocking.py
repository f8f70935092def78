"""Handlers for hosts without an event loop: one loop in a thread serves all their requests."""

import asyncio
import threading
from typing import Any

from ironflow.sdk.serve.responses import Handles, Headers, ServeResponse


class BlockingHandler:
    """`handle` for threads. The loop begins with the first request and ends with the process."""

    def __init__(self, handler: Handles) -> None:
        self._handler = handler
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def handle(self, method: str, path: str, headers: Headers, body: bytes | str) -> ServeResponse:
        work = self._handler.handle(method, path, headers, body)
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def close(self) -> None:
        """Ends the loop and its connections."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._handler.close(), loop).result()
            asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # A process that was forked after its first request has the loop, and not the thread that runs it.
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(loop,), name="ironflow-serve", daemon=True)
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> Any:
    asyncio.set_event_loop(loop)
    loop.run_forever()
