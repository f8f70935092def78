"""What screens need of their application."""

from abc import abstractmethod
from typing import Any

import msgspec
from textual.app import App

from ironflow.base.operation import Operation
from ironflow.base.time import Millis
from ironflow.cli.run.timeline import Signs


class Host(App[None]):
    """signs: the characters that the terminal has."""

    signs: Signs

    @abstractmethod
    async def call(self, operation: Operation[Any, Any], request: msgspec.Struct) -> Any:
        """The server's answer. Raises its error."""

    @abstractmethod
    def now(self) -> Millis:
        """The time."""

    @abstractmethod
    def open_run(self, run_id: str) -> None:
        """Opens the screen of a run."""

    @abstractmethod
    def show_help(self, text: str) -> None:
        """Shows the keys."""

    @abstractmethod
    def edit(self, text: str) -> str:
        """The text as the user has changed it in the editor. Raises EditorFailed."""
