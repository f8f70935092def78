"""`ironflow login`: the API key of a server, or a session of a user, stored for later commands."""

import sys
from pathlib import Path

import msgspec
from cyclopts import App

from ironflow.base.errors import PermissionDenied
from ironflow.cli.access.user import asked_password
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.stored_keys import store_key
from ironflow.cli.terminal.times import time_text
from ironflow.features.server_state import contract as server
from ironflow.features.sessions import contract as sessions

app = App("login")


@app.default
def login(*, key_file: Path | None = None, user: str = "", cli: Injected) -> None:
    """Store an API key, or a session of a user, for later commands to this server.

    The key comes from --key-file, --api-key, standard input, or a question on the terminal. It is tried, and stored
    in the user's settings folder, where only the user can read it.

    Args:
        key_file: The file that a server wrote at its first start, or one that contains just a key.
        user: E-mail address of a user, who logs in with a password instead; it comes from standard input or a question.
    """
    if user:
        _log_in(cli, user)
        return
    key = _from_file(key_file) if key_file is not None else cli.api_key or _asked(cli)
    tried = Cli(url=cli.url, api_key=key, environment=cli.environment)
    try:
        tried.call(server.info, server.Nothing())
    except PermissionDenied:
        # The key is known; it need not be allowed to read the server's state.
        pass
    finally:
        tried.close()
    file = store_key(cli.address, key)
    cli.show({"server": cli.address, "file": str(file)}, lambda: f"stored the key for {cli.address} in {file}")


def _log_in(cli: Cli, email: str) -> None:
    request = sessions.LogIn(email=email, password=asked_password(cli, f"Password of {email}"))
    answer = cli.call(sessions.log_in, request)
    file = store_key(cli.address, answer.token or "")
    shown = {"server": cli.address, "file": str(file), "expires_at": time_text(answer.expires_at)}
    cli.show(shown, lambda: f"logged in to {cli.address} as {email} until {time_text(answer.expires_at)}")


def _asked(cli: Cli) -> str:
    if sys.stdin.isatty():
        key = cli.err.input("API key: ", password=True).strip()
    else:
        key = cli.stdin.read().decode(errors="replace").strip()
    if not key:
        raise UsageError("no key was given. Use --key-file, --api-key or standard input.")
    return key


def _from_file(file: Path) -> str:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"{file} cannot be read: {fault}.") from None
    if not text.startswith("{"):
        return text
    try:
        return msgspec.json.decode(text, type=dict[str, str])["key"]
    except (msgspec.DecodeError, KeyError):
        raise UsageError(f'{file} has no key: it should be {{"key": "ifkey_…"}} or the key alone.') from None
