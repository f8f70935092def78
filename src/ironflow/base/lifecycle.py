"""How the parts of a server start, drain and stop."""


class Lifecycle:
    """A part of a server that has something to do at its start or end. Each step does nothing unless overridden.

    A server calls `start` on its parts in their order. To stop, it calls `drain` on all, then `drained` on all; at last
    it calls `stop` in the reverse order.
    """

    async def start(self) -> None:
        """Begins the work. The database is open and every feature is installed."""

    def drain(self) -> None:
        """Answers what is held, asks clients to leave and accepts no new ones. Returns at once."""

    async def drained(self) -> None:
        """Returns when the clients that were asked have left, or after a short time of its own."""

    async def stop(self) -> None:
        """Ends the work."""
