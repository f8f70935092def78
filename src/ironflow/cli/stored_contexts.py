"""Contexts: servers and environments by names of the user's, one of them current."""

import os
from urllib.parse import urlsplit

import msgspec

from ironflow.cli.exits import UsageError
from ironflow.cli.settings_folder import read_settings, write_settings

FILE = "contexts.json"


class Context(msgspec.Struct, frozen=True):
    """environment: empty for that of the API key."""

    url: str
    environment: str = ""


class Contexts(msgspec.Struct, frozen=True):
    """current: the name of the one that commands use; empty without one."""

    current: str = ""
    contexts: dict[str, Context] = {}

    def named(self, name: str) -> Context:
        """Raises UsageError for a name that there is not."""
        found = self.contexts.get(name)
        if found is None:
            known = ", ".join(sorted(self.contexts)) or "there is none yet"
            raise UsageError(f"there is no context {name!r}; known: {known}. `ironflow context set` makes one.")
        return found


def stored_contexts() -> Contexts:
    return read_settings(FILE, Contexts) or Contexts()


def store_contexts(contexts: Contexts) -> None:
    write_settings(FILE, contexts)


def new_context(url: str, environment: str) -> Context:
    """Raises UsageError for what is no address of a server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(f"{url!r} is no address of a server. Write http://host:port or https://host.")
    return Context(url.rstrip("/"), environment)


def place(url: str | None, environment: str | None, name: str | None) -> tuple[str | None, str | None]:
    """The server and environment of a command, from its global options; None for the client's default.

    url: may come from IRONFLOW_SERVER_URL; a context that is named goes before it, the current one does not.
    Raises UsageError for an unknown context, and for a context beside another address.
    """
    if name and url and url != os.environ.get("IRONFLOW_SERVER_URL"):
        raise UsageError("--context and --url both name a server. Use one of them.")
    if url and not name:
        return url, environment
    contexts = stored_contexts()
    chosen = name or contexts.current
    if not chosen:
        return None, environment
    context = contexts.named(chosen)
    return context.url, environment or context.environment or None
