"""One invocation of the command line: the server, the credentials and the output format."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import msgspec
from cyclopts import Parameter
from rich.console import Console, RenderableType
from rich.text import Text

from ironflow.base.errors import IronflowError
from ironflow.base.operation import Operation
from ironflow.base.time import Clock, SystemClock
from ironflow.cli.stored_keys import stored_key
from ironflow.cli.terminal.output import console, document, draw, waiting
from ironflow.sdk.wire.endpoint import DEFAULT_URL

if TYPE_CHECKING:
    from ironflow.sdk.values.codec import Codec
    from ironflow.sync import Client

Req = TypeVar("Req", bound=msgspec.Struct)
Res = TypeVar("Res", bound=msgspec.Struct)


@dataclass(slots=True)
class Cli:
    """The context of a command. url, api_key and environment: None takes the client's default.

    codec_target: MODULE:NAME of the codec, empty for none.
    """

    url: str | None = None
    api_key: str | None = None
    environment: str | None = None
    verbose: bool = False
    json: bool = False
    codec_target: str = ""
    codec: "Codec | None" = None
    out: Console = field(default_factory=console)
    err: Console = field(default_factory=lambda: console(stderr=True))
    clock: Clock = field(default_factory=SystemClock)
    _client: "Client | None" = None

    @property
    def client(self) -> "Client":
        """The client, opened at the first use; `close` closes it."""
        if self._client is None:
            # Imported here, because `serve` and `--help` need no HTTP client.
            from dataclasses import replace

            from ironflow.sdk.wire.retries import ATTEMPTS_DEFAULT, Retries
            from ironflow.sync import Client

            # A person who mistyped the address is answered at once.
            retries = Retries(attempts=ATTEMPTS_DEFAULT)
            # What cannot be decoded is shown as it is.
            codec = replace(self.codec, tolerant=True) if self.codec is not None else None
            self._client = Client(
                self.url, api_key=self.key, environment=self.environment, retries=retries, codec=codec
            )
        return self._client

    @property
    def address(self) -> str:
        """The server's address."""
        return self.url or os.environ.get("IRONFLOW_SERVER_URL") or DEFAULT_URL

    @property
    def key(self) -> str | None:
        """The API key: the given one, that of IRONFLOW_API_KEY, or the one that `login` stored."""
        return self.api_key or os.environ.get("IRONFLOW_API_KEY") or stored_key(self.address) or None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def call(self, operation: Operation[Req, Res], request: Req, *, timeout: float | None = None) -> Res:
        """The server's response. timeout: seconds, None for the client's default. Raises the server's error."""
        with self._reported(operation.name):
            return self.client.call(operation, request, timeout=timeout)

    def send(self, operation: Operation[Any, None], request: msgspec.Struct) -> None:
        """As `call`, for operations without a response."""
        with self._reported(operation.name):
            self.client.call(operation, request)

    @contextmanager
    def _reported(self, operation: str) -> Iterator[None]:
        """With `--verbose` writes the operation, its outcome and its duration to standard error."""
        began = self.clock.now()
        outcome = "ok"
        try:
            yield
        except IronflowError as fault:
            outcome = fault.code
            raise
        finally:
            if self.verbose:
                self.note(f"{operation}: {outcome} after {self.clock.now() - began} ms", "dim")

    def show(self, answer: msgspec.Struct | dict[str, Any], rendered: Callable[[], RenderableType]) -> None:
        """Writes the answer to standard output: JSON with `--json`, else `rendered`."""
        if self.json:
            self.write(document(answer, indent=self.out.is_terminal) + b"\n")
        else:
            draw(self.out, rendered())

    def write(self, content: bytes) -> None:
        """Writes bytes to standard output unchanged."""
        self.out.file.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def note(self, text: str | Text, style: str = "") -> None:
        """Writes a remark to standard error; nothing with `--json`."""
        if not self.json:
            self.err.print(Text(text, style=style) if isinstance(text, str) else text)

    def confirm(self, question: str) -> bool:
        """Whether the user confirms. Returns False without a terminal."""
        if not sys.stdin.isatty() or not self.err.is_terminal:
            return False
        return self.err.input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """Shows a spinner while the body runs."""
        return waiting(self.err, what)

    @property
    def stdin(self) -> BinaryIO:
        return sys.stdin.buffer


Injected = Annotated[Cli, Parameter(parse=False)]
"""The type of the parameter through which a command receives its `Cli`."""
