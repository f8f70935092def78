"""A server is composed of features that install themselves, and starts, drains and stops its parts in order."""

import pytest

from ironflow.base.lifecycle import Lifecycle
from ironflow.base.settings import Settings
from ironflow.features.parts import PartMissing
from ironflow.features.runs import install as runs
from ironflow.server.building import build


class Recorder(Lifecycle):
    """Records the steps that it is taken through."""

    def __init__(self, name: str, steps: list[str]) -> None:
        self._name = name
        self._steps = steps

    async def start(self) -> None:
        self._steps.append(f"start {self._name}")

    def drain(self) -> None:
        self._steps.append(f"drain {self._name}")

    async def drained(self) -> None:
        self._steps.append(f"drained {self._name}")

    async def stop(self) -> None:
        self._steps.append(f"stop {self._name}")


async def test_a_feature_without_the_parts_it_needs_fails_at_its_installation(database_url: str) -> None:
    server = await build(Settings(db=database_url, dev=True))
    try:
        server.parts._provided.clear()
        with pytest.raises(PartMissing, match=r"needs ironflow\.features\.functions\.index\.FunctionIndex"):
            runs.install(server.parts)
    finally:
        await server.stop()


async def test_parts_start_in_order_and_stop_in_reverse_order(database_url: str) -> None:
    steps: list[str] = []
    server = await build(Settings(db=database_url, dev=True))
    server.lifecycles[:] = [Recorder("a", steps), Recorder("b", steps)]

    await server.start()
    server.drain()
    await server.drained()
    await server.stop()

    assert steps == [f"{step} {name}" for step in ("start", "drain", "drained") for name in "ab"] + [
        "stop b",
        "stop a",
    ]
