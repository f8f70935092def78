"""Keys that `ironflow login` stores: one for each server."""

from pathlib import Path
from urllib.parse import urlsplit

from ironflow.cli.settings_folder import read_settings, write_settings

FILE = "keys.json"


def stored_key(url: str) -> str:
    """The key for this server; empty when there is none."""
    return _read().get(_server(url), "")


def store_key(url: str, key: str) -> Path:
    """Stores the key for this server; the file. Raises UsageError when it cannot be written."""
    return write_settings(FILE, _read() | {_server(url): key})


def forget_key(url: str) -> bool:
    """Whether there was a key for this server."""
    keys = _read()
    there = keys.pop(_server(url), None) is not None
    if there:
        write_settings(FILE, keys)
    return there


def _server(url: str) -> str:
    """Scheme, host and port: what a key is for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _read() -> dict[str, str]:
    return read_settings(FILE, dict[str, str]) or {}
