"""`ctx.changed`: whether a run came to a point of its handler after a change of the code.

Source: docs/guides/changing-code.md.
"""

from ironflow.sdk.durable.steps.bridge import Bridge
from ironflow.sdk.durable.steps.replay import Replay
from ironflow.sdk.durable.steps.step_ids import escaped
from ironflow.sdk.durable.steps.steps import Steps


class Changes:
    """The changes that one execution has asked for, each answered once."""

    def __init__(self, steps: Steps, replay: Replay) -> None:
        self._steps, self._replay = steps, replay
        self._answers: dict[str, bool] = {}

    async def answer(self, name: str) -> bool:
        """As `Context.changed`."""
        if name not in self._answers:
            self._answers[name] = await self._ask(name)
        return self._answers[name]

    async def _ask(self, name: str) -> bool:
        """False is not recorded: it follows from the steps that are recorded behind, also in later executions."""
        step = f"changed {name}"
        recorded = self._replay.is_recorded(f"{self._replay.root.path}:{escaped(step)}:0")
        if not recorded and self._replay.has_steps_ahead():
            return False
        return await self._steps.run(step, _new_code)


class BlockingChanges:
    """The same for a plain handler, which waits in its thread."""

    def __init__(self, changes: Changes, bridge: Bridge) -> None:
        self._changes, self._bridge = changes, bridge

    def answer(self, name: str) -> bool:
        return self._bridge.wait(self._changes.answer(name))


async def _new_code() -> bool:
    return True
