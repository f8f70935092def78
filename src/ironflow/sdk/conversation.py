"""What a worker needs of the way in which it talks to its server: by polling, or on one stream."""

from typing import Protocol


class Conversation(Protocol):
    """Registers the worker, brings it jobs, keeps their leases, and carries its reports."""

    async def run(self) -> None:
        """Talks until it is cancelled, over any number of connections.

        Raises WorkerAuthError when the key is refused, and what the server says to a function that it does not accept.
        """
        ...

    async def no_more(self) -> None:
        """Takes no more jobs. Those that the worker has are reported as before."""
        ...

    async def close(self) -> None:
        """Says goodbye; `run` has ended or is about to be cancelled."""
        ...
