"""Generates the synchronous client: `python -m ironflow.sdk.client.generate_sync [--check]`.

Names are replaced token by token, then ruff formats. With --check nothing is written and the exit code says
whether the files in the tree are what would be made.
"""

import io
import subprocess
import sys
import tokenize
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE / "_sync"
SOURCES = [
    HERE / "connection" / "calls.py",
    HERE / "connection" / "listing.py",
    HERE / "client.py",
    HERE / "commands.py",
    HERE / "starting.py",
    *sorted((HERE / "features").glob("[a-z]*.py")),
]

_DROPPED = {"async", "await"}
_NAMES = {
    "AsyncIterator": "Iterator",
    "AsyncGenerator": "Generator",
    "AsyncTransport": "Transport",
    "AsyncStreaming": "Streaming",
    "AiohttpTransport": "Urllib3Transport",
    "async_transport_of": "transport_of",
    "aclosing": "closing",
    "aclose": "close",
    "anext": "next",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "observe": "observe_now",
}
_TEXTS = [
    ("from asyncio import sleep", "from time import sleep"),
    ("ironflow.sdk.client.connection.calls", "ironflow.sdk.client._sync.calls"),
    ("ironflow.sdk.client.connection.listing", "ironflow.sdk.client._sync.listing"),
    ("ironflow.sdk.client.commands", "ironflow.sdk.client._sync.commands"),
    ("ironflow.sdk.client.starting", "ironflow.sdk.client._sync.starting"),
    ("ironflow.sdk.client.features", "ironflow.sdk.client._sync"),
    # A WebSocket needs a loop: in scripts it has one in a thread of its own.
    ("ironflow.sdk.client.connection.subscription", "ironflow.sdk.client.connection.blocking_subscription"),
    ("async with ironflow.Client", "with ironflow.sync.Client"),
    ("= await client.", "= client."),
    ("async for run in client.", "for run in client."),
    ("import Awaitable, Callable", "import Callable"),
    ("Callable[[], Awaitable[Any]]", "Callable[[], Any]"),
    (
        "`ironflow.sync.Client` is made from this source by ironflow.sdk.client.generate_sync.",
        "Programs import it from `ironflow.sync`.",
    ),
]
_HEAD = "# Generated from {source} by generate_sync; edit that file.\n"
_TIDY = ["check", "--select", "I,UP028", "--unsafe-fixes", "--fix-only", "--quiet"]
# Given here, so that the order of imports does not depend on which generated files exist already.
_OURS = ["--config", 'lint.isort.known-first-party=["ironflow"]']
_PACKAGE = '"""The client for scripts, made from the asynchronous one."""\n'


def synchronous(source: str) -> str:
    """The source of an asynchronous module with its awaits taken out, not yet formatted."""
    for old, new in _TEXTS:
        source = source.replace(old, new)
    lines = source.splitlines(keepends=True)
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        if token.type != tokenize.NAME or (token.string not in _DROPPED and token.string not in _NAMES):
            continue
        row, start, end = token.start[0] - 1, token.start[1], token.end[1]
        line = lines[row]
        if token.string in _DROPPED:
            lines[row] = line[:start] + line[end:].lstrip(" ")
        else:
            lines[row] = line[:start] + _NAMES[token.string] + line[end:]
    return "".join(lines)


def formatted(source: str, name: str) -> str:
    """`source` as ruff writes it: imports sorted, lines joined and broken."""
    for command in ([*_TIDY, *_OURS], ["format", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TARGET / name), "-"],
            input=source,
            capture_output=True,
            text=True,
            check=True,
        )
        source = done.stdout
    return source


def made() -> dict[Path, str]:
    """Every file of the generated package by path."""
    files = {TARGET / "__init__.py": _PACKAGE}
    for path in SOURCES:
        head = _HEAD.format(source=path.relative_to(HERE.parents[2]).as_posix())
        files[TARGET / path.name] = head + formatted(synchronous(path.read_text()), path.name)
    return files


def stale(files: dict[Path, str]) -> list[str]:
    """Names of generated files that are missing, different, or made from nothing any more."""
    different = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
    orphans = [path.name for path in TARGET.glob("*.py") if path not in files]
    return sorted(different + orphans)


def main(arguments: list[str]) -> int:
    files = made()
    names = stale(files)
    if "--check" in arguments:
        if names:
            sys.stderr.write(f"Not fresh: {', '.join(names)}. Run `python -m ironflow.sdk.client.generate_sync`.\n")
        return 1 if names else 0
    TARGET.mkdir(exist_ok=True)
    for path, text in files.items():
        path.write_text(text)
    for path in TARGET.glob("*.py"):
        if path not in files:
            path.unlink()
    sys.stdout.write(f"{len(names)} of {len(files)} files were changed.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
