"""The `--data` of a command: JSON as text, `@FILE` for a file's content, `-` for standard input."""

from pathlib import Path
from typing import BinaryIO

from ironflow.base.json import InvalidJson, Json, check_payload
from ironflow.cli.exits import UsageError


def read_bytes(given: str, stdin: BinaryIO) -> bytes:
    """What `given` stands for, byte for byte. `@@x` is the text `@x`. Raises UsageError for an unreadable file."""
    if given == "-":
        return stdin.read()
    if given.startswith("@@"):
        return given[1:].encode()
    if given.startswith("@"):
        try:
            return Path(given[1:]).expanduser().read_bytes()
        except OSError as fault:
            reason = (fault.strerror or str(fault)).lower()
            raise UsageError(f"cannot read {given[1:]!r}: {reason}. Write @ and the path of a file.") from None
    return given.encode(errors="surrogateescape")


def read_data(given: str, stdin: BinaryIO) -> Json:
    """The JSON payload that `given` stands for, kept as it was written. Raises UsageError for what is not JSON."""
    text = read_bytes(given, stdin).strip()
    if not text:
        raise UsageError("the data is empty. Write JSON, @FILE for a file's content, or - for standard input.")
    try:
        return check_payload(Json(text), "the data")
    except InvalidJson as fault:
        raise UsageError(f"{fault.message}. {_advice(given)}") from None


def _advice(given: str) -> str:
    if given.startswith("@") or given == "-":
        return "The content must be one JSON value."
    if given[:1] not in '{["':
        return f"A text is written with its quotes, such as --data '\"{given[:20]}\"', and a file with @."
    return "Put the JSON in single quotes, so that the shell leaves it alone."
