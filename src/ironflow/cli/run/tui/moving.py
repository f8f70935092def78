"""Moving from one moment of a run to another."""

from abc import abstractmethod
from typing import cast

from textual import work

from ironflow.base.errors import InvalidArgument
from ironflow.cli.run.tui import views
from ironflow.cli.run.tui.changing import Changes
from ironflow.cli.run.tui.dialogs import Prompt
from ironflow.cli.run.tui.host import Host
from ironflow.cli.run.tui.source import RunSource
from ironflow.debugging.places import place
from ironflow.features.time_travel.contract import RunState


class Moving(Changes):
    """The moment that is shown, and where to go from it.

    number: of the moment, from 0. following: the last moment is shown whenever there is a new one. milestones: only
    moments that are significant are stopped at.
    """

    part: views.Part

    def __init__(self, source: RunSource) -> None:
        super().__init__()
        self.source = source
        self.state: RunState | None = None
        self.number = 0
        self.following = False
        self.milestones = False
        self.sought = ""
        self.playing = False
        self._step_id = ""

    @property
    def inspect(self) -> Host:
        return cast("Host", self.app)

    @abstractmethod
    def _load(self) -> object:
        """Reads the state of the moment and shows it."""

    @abstractmethod
    def _draw(self) -> None:
        """Shows what was read."""

    def _go(self, number: int) -> None:
        last = self.source.history.last
        if last < 0:
            return
        self.number = min(max(number, 0), last)
        self.following = self.number == last and not self.source.ended
        self._load()

    def action_go(self, by: int) -> None:
        self.playing = False
        if not self.milestones:
            self._go(self.number + by)
            return
        history = self.source.history
        for _ in range(abs(by)):
            move = history.forward if by > 0 else history.back
            found = move(self.number, lambda each: each.significant)
            if found is None:
                break
            self.number = found
        self._go(self.number)

    def action_end(self, last: int) -> None:
        self._go(self.source.history.last if last else 0)

    def action_failure(self) -> None:
        found = self.source.history.first_failure()
        if found is None:
            self.note("nothing has failed in this run")
        else:
            self.part = "error"
            self._go(found)

    def action_step(self) -> None:
        found = self.source.history.of_step(self._step_id) if self._step_id else None
        if found is None:
            self.note("choose a step in the tree")
        else:
            self._go(found)

    @work
    async def action_place(self) -> None:
        wanted = await self.app.push_screen_wait(Prompt("Go to a time, +90s after the creation, or a step:"))
        if not wanted:
            return
        try:
            self._go(place(self.source.history, self.source.run_id, wanted, self.inspect.now()))
        except InvalidArgument as fault:
            self.note(fault.message, "red")

    @work
    async def action_search(self) -> None:
        wanted = await self.app.push_screen_wait(Prompt("Search in the history:", self.sought))
        if wanted:
            self.sought = wanted
            self.action_match(1)

    def action_match(self, direction: int) -> None:
        found = self.source.history.matching(self.sought) if self.sought else []
        if not found:
            self.note(f"nothing with {self.sought!r}" if self.sought else "/ searches")
            return
        later = [each for each in found if (each - self.number) * direction > 0]
        chosen = (later or found)[0] if direction > 0 else (later or found)[-1]
        self.note(f"{found.index(chosen) + 1} of {len(found)} with {self.sought!r}   n next  N previous")
        self._go(chosen)

    def action_play(self) -> None:
        self.playing = not self.playing

    def _play_on(self) -> None:
        if not self.playing or not self.is_current or self.state is None:
            return
        if self.number >= self.source.history.last:
            self.playing = False
        else:
            self.action_go(1)
            self.playing = True

    def action_follow(self) -> None:
        self.following = not self.following
        if self.following:
            self._go(self.source.history.last)
        else:
            self._draw()
