"""A list of lines with a cursor, which draws only the lines that are seen."""

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip


class Lines(ScrollView, can_focus=True, inherit_bindings=False):
    """count lines, each drawn when it is seen. pointed: whether one of them is the cursor's."""

    DEFAULT_CSS = "Lines { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Moved(Message):
        """The user has moved the cursor."""

        def __init__(self, lines: "Lines", index: int) -> None:
            super().__init__()
            self.lines = lines
            self.index = index

        @property
        def control(self) -> "Lines":
            return self.lines

    class Chosen(Moved):
        """The user has pressed Enter on a line."""

    def __init__(self, *, id: str, pointed: bool = True) -> None:
        super().__init__(id=id)
        self.count = 0
        self.cursor = 0
        self._pointed = pointed
        self._draw: Callable[[int], Text] = lambda _: Text()

    def show(self, count: int, draw: Callable[[int], Text], cursor: int | None = None) -> None:
        """Shows other lines. cursor: None keeps it where it is, as far as there is a line."""
        self.count, self._draw = count, draw
        self._resized()
        self.point(self.cursor if cursor is None else cursor)
        self.refresh()

    def point(self, index: int) -> None:
        """Puts the cursor on a line and scrolls to it, without a message."""
        self.cursor = min(max(index, 0), max(self.count - 1, 0))
        if self._pointed:
            # How far it can scroll is known after the next layout.
            self.call_after_refresh(self._reveal)
        self.refresh()

    def _reveal(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, x_axis=False)

    def render_line(self, y: int) -> Strip:
        _, scrolled = self.scroll_offset
        index = scrolled + y
        width = self.size.width
        if not 0 <= index < self.count:
            return Strip.blank(width, self.rich_style)
        text = self._draw(index)
        if self._pointed and index == self.cursor:
            # The sign shows the place without colours as well.
            text = Text(">" if self.has_focus else "·") + text
            text.stylize("reverse" if self.has_focus else "bold")
        elif self._pointed:
            text = Text(" ") + text
        text.no_wrap = True
        text.end = ""
        text.truncate(width, overflow="ellipsis")
        return Strip(text.render(self.app.console)).adjust_cell_length(width, self.rich_style)

    def action_move(self, by: int) -> None:
        if not self._pointed:
            self.scroll_relative(y=by, animate=False)
            return
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        rows = by * max(self.size.height - 1, 1)
        if self._pointed:
            self._go(self.cursor + rows)
        else:
            self.scroll_relative(y=rows, animate=False)

    def action_choose(self) -> None:
        if self.count:
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: Click) -> None:
        index = self.scroll_offset.y + event.y
        if self._pointed and 0 <= index < self.count:
            self._go(index)

    def on_resize(self, event: Resize) -> None:
        self._resized()
        self.point(self.cursor)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def _resized(self) -> None:
        self.virtual_size = Size(self.size.width, self.count)

    def _go(self, index: int) -> None:
        before = self.cursor
        self.point(index)
        if self.cursor != before:
            self.post_message(self.Moved(self, self.cursor))
