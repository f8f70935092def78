"""A real server as a process of its own, on a free port, for tests.

`python -m ironflow.testing.server_process FILE` is that process. It ends when its standard input is closed, so no
server outlives the tests that started it, however they end.
"""

import asyncio
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ironflow.base.errors import Unavailable
from ironflow.cli.child import STOP_WITHIN_S, end_with_parent
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition

READY_WITHIN_S = 30.0
# From the tests to the server process: arguments are visible to other users of the machine.
_ADMIN_KEY = "IRONFLOW_TESTING_ADMIN_KEY"


class ServerProcess:
    """A server that serves from the moment it is made until `stop`, for this machine only.

    folder: where its database and log are. url: its address. admin_key: of an administrator (`ifkey_` and at least 26
    letters or digits), which turns authentication on; empty for a server without it. Raises Unavailable, with its
    log, if it does not start.
    """

    def __init__(self, folder: Path, admin_key: str = "") -> None:
        self._log = folder / "server.log"
        # As the tests import it, also where nothing is installed.
        paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ironflow.testing.server_process", str(folder / "ironflow.db")],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), _ADMIN_KEY: admin_key},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Ctrl-C is for the tests, which stop the server when they are done with it.
                start_new_session=True,
            )
        try:
            self.url = self._announced()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has logged."""
        return self._log.read_text(errors="replace")

    def client(self, **settings: Any) -> Client:
        """A client of the server; close it. settings: those of `ironflow.Client`."""
        return Client(self.url, **settings)

    @contextmanager
    def worker(self, functions: Sequence[FunctionDefinition], **settings: Any) -> Iterator[None]:
        """A worker in a thread of this process, drained at the end. settings: those of `ironflow.worker.Worker`.

        An async test may use `async with Worker(functions, url=server.url)` instead. Raises InvalidFunction.
        """
        from ironflow.sdk.worker.worker import Worker

        started: Future[Any] = Future()

        async def serve() -> None:
            async with Worker(functions, url=self.url, **settings):
                enough = asyncio.Event()
                started.set_result((asyncio.get_running_loop(), enough))
                await enough.wait()

        with ThreadPoolExecutor(1, thread_name_prefix="ironflow-worker") as thread:
            serving: Future[Any] = thread.submit(lambda: asyncio.run(serve()))
            wait((started, serving), return_when=FIRST_COMPLETED)
            if not started.done():
                serving.result()
            loop, enough = started.result()
            try:
                yield
            finally:
                # The loop is closed already if the worker has failed.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(enough.set)
                serving.result()

    def stop(self) -> None:
        """Ends the server; returns when it has exited. Stopping what has ended is no error."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _announced(self) -> str:
        """The first line it writes: its address."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], READY_WITHIN_S)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise Unavailable(f"The server did not start within {READY_WITHIN_S:g} s. Its log:\n{self.log}")
        return line.decode().strip()

    def __repr__(self) -> str:
        return f"<ServerProcess {self.url}>"


def main(file: str) -> None:
    """Serves `file`. Nothing is taken from the environment: a developer's settings are not those of the tests."""
    from ironflow.server.run import serve
    from ironflow.server.settings import Settings

    def started(address: str) -> None:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()

    end_with_parent()
    key = os.environ.get(_ADMIN_KEY, "")
    access: Any = {"auth": True, "bootstrap_admin_key": key} if key else {"dev": True}
    serve(Settings(port=0, db=file, shutdown_ms=500, **access), started)


if __name__ == "__main__":
    main(sys.argv[1])
