"""A value in the editor of the user, `$VISUAL` or `$EDITOR`."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import InvalidJson, Json, check_payload

Edit = Callable[[str], str]
"""Takes a text and returns what the user made of it. Raises EditorFailed."""


class EditorFailed(InvalidArgument):
    """The editor could not be started, or ended with an error."""

    code = "EDITOR_FAILED"


def edit_in_terminal(text: str) -> str:
    """Opens the editor on a temporary file. Raises EditorFailed."""
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="ironflow-") as folder:
        file = Path(folder) / "output.json"
        file.write_text(text, encoding="utf-8")
        try:
            ended = subprocess.run([*command, str(file)], check=False).returncode
        except OSError as fault:
            raise EditorFailed(f"cannot start {command[0]!r}: {fault.strerror}. Set EDITOR.") from None
        if ended:
            raise EditorFailed(f"{command[0]!r} ended with {ended}; nothing is changed.")
        return file.read_text(encoding="utf-8", errors="replace")


def json_text(text: str) -> str:
    """The JSON in a text, on one line. Raises InvalidJson with the place of the fault."""
    payload = check_payload(Json(text.strip().encode()), "the output")
    if not bytes(payload):
        raise InvalidJson("the output is empty; write null for no value")
    return msgspec.json.format(bytes(payload), indent=-1).decode()
