"""The connection of a worker to its server: by polling, or on one stream."""

from typing import Protocol


class Connection(Protocol):
    """Registers the worker, receives jobs, renews their leases, and sends reports."""

    async def run(self) -> None:
        """Serves until it is cancelled, and reconnects after failures.

        Raises WorkerAuthError when the key is refused, and the server's error for a function that it refuses.
        """
        ...

    async def stop_taking_jobs(self) -> None:
        """Takes no more jobs. Running jobs are reported as before."""
        ...

    async def leave(self) -> None:
        """Reports to the server that the worker has drained. Raises the server's error, or that it does not answer."""
        ...

    async def close(self) -> None:
        """Closes the connection; `run` has ended or is about to be cancelled."""
        ...
