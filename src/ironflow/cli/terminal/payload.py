"""The `--data` of a command: JSON as text, `@FILE` for a file's content, `-` for standard input."""

from pathlib import Path
from typing import BinaryIO

from ironflow.base.json import InvalidJson, Json, check_payload, write_json
from ironflow.cli.exits import UsageError


def read_bytes(given: str, stdin: BinaryIO) -> bytes:
    """The bytes that `given` refers to. `@@x` is the text `@x`. Raises UsageError for an unreadable file."""
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
    """The JSON payload that `given` refers to, unchanged. Raises UsageError for invalid JSON."""
    text = read_bytes(given, stdin).strip()
    if not text:
        raise UsageError("the data is empty. Write JSON, @FILE for a file's content, or - for standard input.")
    try:
        return check_payload(Json(text), "the data")
    except InvalidJson as fault:
        raise UsageError(f"{fault.message}. {_advice(given)}") from None


def read_data_option(data: str | None, data_file: str | None, stdin: BinaryIO) -> Json | None:
    """The payload of `--data` or `--data-file`; None without both. Raises UsageError."""
    if data is not None and data_file is not None:
        raise UsageError("--data and --data-file exclude each other.")
    given = data if data_file is None else "-" if data_file == "-" else f"@{data_file}"
    return None if given is None else read_data(given, stdin)


def read_metadata(given: list[str] | None, stdin: BinaryIO) -> Json | None:
    """The object of `--metadata`: NAME=VALUE, once for each member, or JSON. None without any. Raises UsageError."""
    pairs: dict[str, str] = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if each[:1] in "{[@-" or not equals:
            if len(given or []) > 1:
                raise UsageError(f"--metadata {each!r} is not NAME=VALUE; several must all be.")
            return read_data(each, stdin)
        pairs[name] = value
    return Json(write_json(pairs)) if pairs else None


def _advice(given: str) -> str:
    if given.startswith("@") or given == "-":
        return "The content must be one JSON value."
    if given[:1] not in '{["':
        return f"A JSON string needs its quotes, such as --data '\"{given[:20]}\"'; a file needs @."
    return "Put the JSON in single quotes, so that the shell does not change it."
