"""What a user changes in a run from its screen. Each change shows what follows, and asks."""

from collections.abc import Awaitable
from typing import cast

import msgspec
from textual import work
from textual.screen import Screen

from ironflow.base.errors import IronflowError
from ironflow.base.json import InvalidJson
from ironflow.cli.run.tui.dialogs import Confirm, Prompt
from ironflow.cli.run.tui.editing import EditorFailed, json_text
from ironflow.cli.run.tui.host import Host
from ironflow.cli.run.tui.source import RunSource
from ironflow.cli.run.tui.views import preview_lines
from ironflow.debugging.preview import Action, preview
from ironflow.features.time_travel.contract import RunState, StepState


class Changes(Screen[None]):
    """Pause, resume, retry, cancel, and replacing an output: for a run as it is now."""

    source: RunSource
    state: RunState | None

    @property
    def step(self) -> StepState | None:
        """The step under the cursor."""
        raise NotImplementedError

    def look(self) -> None:
        """Asks what has happened since, and goes to the last moment."""
        raise NotImplementedError

    def note(self, text: str, style: str = "dim") -> None:
        """Shows a line at the foot."""
        raise NotImplementedError

    async def _present(self) -> RunState:
        await self.source.refresh()
        return await self.source.state(self.source.history.last)

    async def _done(self, change: Awaitable[object], what: str) -> None:
        try:
            answer = await change
        except IronflowError as fault:
            self.note(fault.message, "red")
            return
        self.note(answer if isinstance(answer, str) else what, "green")
        self.look()

    @work(exclusive=True, group="change", exit_on_error=False)
    async def action_pause(self) -> None:
        if await self.app.push_screen_wait(
            Confirm(f"Pause {self.source.run_id}?", ["At once when it waits, else at its next step boundary."])
        ):
            await self._done(self.source.pause(), "paused")

    @work(exclusive=True, group="change", exit_on_error=False)
    async def action_resume(self) -> None:
        await self._go_on("resume", "")

    @work(exclusive=True, group="change", exit_on_error=False)
    async def action_resume_from(self) -> None:
        if self.step is None:
            self.note("choose a step in the tree")
        else:
            await self._go_on("resume", self.step.step_id)

    @work(exclusive=True, group="change", exit_on_error=False)
    async def action_retry(self) -> None:
        await self._go_on("retry", "")

    async def _go_on(self, action: Action, from_step: str) -> None:
        try:
            found = preview(await self._present(), action, from_step)
        except IronflowError as fault:
            self.note(fault.message, "red")
            return
        if found.refused and not (self.source.run is not None and self.source.run.pause_requested):
            self.note(found.refused, "red")
            return
        if not await self.app.push_screen_wait(Confirm(f"{action} {self.source.run_id}?", preview_lines(found))):
            return
        change = self.source.retry() if action == "retry" else self.source.resume(from_step)
        await self._done(change, "retrying" if action == "retry" else "resumed")

    @work(exclusive=True, group="change", exit_on_error=False)
    async def action_cancel(self) -> None:
        reason = await self.app.push_screen_wait(Prompt("Cancel the run. Reason (Esc leaves it as it is):"))
        if reason is not None and await self.app.push_screen_wait(
            Confirm(f"Cancel {self.source.run_id}?", [self.source.cancel_effect])
        ):
            await self._done(self.source.cancel(reason), "cancelled, or being cancelled")

    @work(exclusive=True, group="change", exit_on_error=False)
    async def action_replace(self) -> None:
        try:
            present = await self._present()
        except IronflowError as fault:
            self.note(fault.message, "red")
            return
        step = next((each for each in present.steps if self.step and each.step_id == self.step.step_id), None)
        status = present.state.partition(":")[0]
        if step is None:
            self.note("choose a step in the tree")
        elif status not in ("paused", "failed"):
            self.note(f"the run is {present.state}; pause it before replacing an output", "red")
        else:
            await self._replace(step, inject=status == "paused")

    async def _replace(self, step: StepState, *, inject: bool) -> None:
        before = msgspec.json.format(bytes(step.output), indent=2).decode()
        text = await self._edited(before)
        if text is None:
            return
        if text == json_text(before):
            self.note("the output is unchanged")
            return
        reason = await self.app.push_screen_wait(Prompt(f"Why does {step.name} get another output?", needed=True))
        if not reason:
            self.note("nothing is changed: a reason is recorded with each change")
            return
        change = self.source.inject if inject else self.source.patch
        shown = text if len(text) <= 200 else f"{text[:199]}…"
        if await self.app.push_screen_wait(
            Confirm(f"Replace the output of {step.name}?", [shown, f"Reason: {reason}"])
        ):
            await self._done(change(step, text, reason), "replaced; r resumes the run")

    async def _edited(self, text: str) -> str | None:
        """JSON that the user made of a text; None when the user gives up."""
        while True:
            try:
                text = cast("Host", self.app).edit(text)
                return json_text(text)
            except EditorFailed as fault:
                self.note(fault.message, "red")
                return None
            except InvalidJson as fault:
                if not await self.app.push_screen_wait(Confirm("This is no JSON. Edit it again?", [fault.message])):
                    return None
