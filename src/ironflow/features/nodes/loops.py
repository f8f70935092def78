"""Loops: this node shows itself, and looks for others that have ended."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.nodes.service import BATCH, HEARTBEAT_MS, Nodes


class KeepNodes:
    """Looks every second: a node that was killed leaves what others wait for."""

    name = "nodes"
    topic = ""
    every_ms = 1_000
    notable = ("ended",)

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._shown_at: Millis = -1

    async def run_once(self, now: Millis) -> Ran:
        if not self._shown_at <= now < self._shown_at + HEARTBEAT_MS:
            await self._nodes.show()
            self._shown_at = now
        ended = await self._nodes.take_over()
        return Ran({"ended": ended}, more=ended == BATCH)
