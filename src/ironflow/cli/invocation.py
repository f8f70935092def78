"""One use of the command line: which server, who asks, and how the answer is wanted."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import msgspec
from cyclopts import Parameter
from rich.console import Console, RenderableType
from rich.text import Text

from ironflow.base.operation import Operation
from ironflow.base.time import Clock, SystemClock
from ironflow.cli.output import console, document, draw, waiting

if TYPE_CHECKING:
    from ironflow.sync import Client

Req = TypeVar("Req", bound=msgspec.Struct)
Res = TypeVar("Res", bound=msgspec.Struct)


@dataclass(slots=True)
class Cli:
    """What every command is given. url, api_key and environment of None leave the choice to the client's defaults."""

    url: str | None = None
    api_key: str | None = None
    environment: str | None = None
    json: bool = False
    out: Console = field(default_factory=console)
    err: Console = field(default_factory=lambda: console(stderr=True))
    clock: Clock = field(default_factory=SystemClock)
    _client: "Client | None" = None

    @property
    def client(self) -> "Client":
        """Opened at the first use; `close` ends it."""
        if self._client is None:
            # Late, because `serve` and `--help` need no HTTP client.
            from ironflow.sync import Client

            self._client = Client(self.url, api_key=self.api_key, environment=self.environment)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def ask(self, operation: Operation[Req, Res], request: Req, *, timeout: float | None = None) -> Res:
        """The server's answer. timeout: seconds, None for the client's own. Raises what the server raised."""
        return self.client.call(operation, request, timeout=timeout)

    def tell(self, operation: Operation[Any, None], request: msgspec.Struct) -> None:
        """As `ask`, for operations that answer nothing."""
        self.client.call(operation, request)

    def show(self, answer: msgspec.Struct | dict[str, Any], picture: Callable[[], RenderableType]) -> None:
        """Writes the answer: as JSON when that was asked for, else as the picture."""
        if self.json:
            self.write(document(answer, indent=self.out.is_terminal) + b"\n")
        else:
            draw(self.out, picture())

    def write(self, content: bytes) -> None:
        """Bytes to standard output, as they are."""
        self.out.file.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def say(self, text: str | Text, style: str = "") -> None:
        """A remark for people on standard error; programs that asked for JSON are spared it."""
        if not self.json:
            self.err.print(Text(text, style=style) if isinstance(text, str) else text)

    def confirm(self, question: str) -> bool:
        """Whether a person at the keyboard says yes; no when nobody is there to ask."""
        if not sys.stdin.isatty() or not self.err.is_terminal:
            return False
        return self.err.input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """Shows that something longer is under way."""
        return waiting(self.err, what)

    @property
    def stdin(self) -> BinaryIO:
        return sys.stdin.buffer


Here = Annotated[Cli, Parameter(parse=False)]
"""The type of the parameter by which a command receives its `Cli`."""
