"""Files in the user's settings folder, which only the user can read."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from ironflow.cli.exits import UsageError

T = TypeVar("T")


def folder() -> Path:
    """The user's folder for settings: IRONFLOW_CONFIG_DIR, else `ironflow` in the one of the system."""
    given = os.environ.get("IRONFLOW_CONFIG_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "ironflow"


def read_settings(name: str, kind: type[T]) -> T | None:
    """The content of a file; None when there is none. Raises UsageError when it cannot be read."""
    try:
        return msgspec.json.decode((folder() / name).read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as fault:
        raise UsageError(f"{folder() / name} cannot be read: {fault}. Delete the file.") from None


def write_settings(name: str, content: object) -> Path:
    """Replaces a file at once, so that another command reads the old or the new one. Raises UsageError."""
    file = folder() / name
    part = file.with_name(f"{name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(descriptor, 0o600)
            out.write(msgspec.json.encode(content))
        os.replace(part, file)
    except OSError as fault:
        raise UsageError(f"{file} cannot be written: {fault.strerror}.") from None
    return file
