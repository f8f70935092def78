"""The application as its screens use it; `app.py` implements it."""

from abc import abstractmethod
from typing import Any

import msgspec
from textual.app import App

from ironflow.base.operation import Operation
from ironflow.base.time import Millis
from ironflow.cli.run.timeline import Signs


class Host(App[None]):
    """What a screen calls on its application. signs: the symbols that the terminal can draw."""

    signs: Signs

    @abstractmethod
    async def call(self, operation: Operation[Any, Any], request: msgspec.Struct) -> Any:
        """The server's response. Raises the error that it responds with."""

    @abstractmethod
    def now(self) -> Millis:
        """The current time."""

    @abstractmethod
    def open_run(self, run_id: str) -> None:
        """Opens the screen of a run."""

    @abstractmethod
    def show_help(self, text: str) -> None:
        """Shows `text`, the help of a screen, in a dialog."""

    @abstractmethod
    def edit(self, text: str) -> str:
        """Opens `text` in the user's editor; returns it as it was saved. Raises EditorFailed."""
