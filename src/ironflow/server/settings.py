"""What an operator can choose. From a file (`-f`), the environment (`IRONFLOW_…`) and the command line, which wins.

Source: behaviour.md 16; DESIGN.md 4.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import write_json_text

DEFAULT_PORT = 9123


class InvalidSettings(InvalidArgument):
    """The settings are not valid."""

    code = "INVALID_SETTINGS"


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes in bytes, times in milliseconds.

    db: a path, or postgresql://…. http_server: what speaks HTTP. max_attempts and on_exhausted hold for functions that
    do not say. node: this process's name among those on one PostgreSQL; made up when empty.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    db: str = "ironflow.db"
    dev: bool = False
    http_server: Literal["h2corn", "granian"] = "h2corn"
    node: str = ""
    log_level: str = "info"
    log_format: Literal["text", "json"] = "text"
    lease_ms: int = 90_000
    reservation_ms: int = 30_000
    worker_evict_ms: int = 120_000
    lease_losses_max: int = 10
    max_attempts: int = 3
    initial_delay_ms: int = 1_000
    backoff_factor: float = 2.0
    max_delay_ms: int = 300_000
    on_exhausted: Literal["fail", "pause"] = "fail"
    function_timeout_ms: int = 600_000
    event_bytes_max: int = 1024 * 1024
    output_bytes_max: int = 4 * 1024 * 1024
    body_bytes_max: int = 32 * 1024 * 1024
    run_retention_days: float = 0
    shutdown_ms: int = 10_000


# Names that operators know, besides IRONFLOW_ + the setting's own name.
_ALIASES = {
    "IRONFLOW_DATABASE_URL": "db",
    "IRONFLOW_NODE_ID": "node",
    "LOG_LEVEL": "log_level",
    "LOG_FORMAT": "log_format",
}
_FILE_KEYS = {
    "port": "port",
    "host": "host",
    "storage.url": "db",
    "storage.path": "db",
    "auth.devMode": "dev",
    "cluster.nodeId": "node",
    "engine.retry.maxAttempts": "max_attempts",
    "engine.retry.initialDelayMs": "initial_delay_ms",
    "engine.retry.backoffFactor": "backoff_factor",
    "engine.retry.maxDelayMs": "max_delay_ms",
    "engine.retry.onExhausted": "on_exhausted",
    "engine.leaseMs": "lease_ms",
    "engine.reservationMs": "reservation_ms",
    "engine.functionTimeoutMs": "function_timeout_ms",
    "limits.eventBytes": "event_bytes_max",
    "limits.outputBytes": "output_bytes_max",
    "limits.bodyBytes": "body_bytes_max",
    "retention.runDays": "run_retention_days",
    "log.level": "log_level",
    "log.format": "log_format",
}
# Other numbers are at least 0.
_LEAST = {"lease_ms": 100, "reservation_ms": 100, "max_attempts": 1, "lease_losses_max": 1}


def load_settings(file: Path | None = None, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Defaults, then the file, then the environment, then `given` (None means not given). Raises InvalidSettings."""
    settings = Settings()
    environ = os.environ if environ is None else environ
    if file is not None:
        settings = _with(settings, _from_file(file, environ), str(file))
    settings = _with(settings, _from_environ(environ), "the environment")
    settings = _with(settings, {name: value for name, value in given.items() if value is not None}, "the command line")
    if settings.dev and settings.host not in ("127.0.0.1", "localhost", "::1"):
        raise InvalidSettings(f"--dev turns authentication off and so serves loopback only, not {settings.host}.")
    return settings


def _with(settings: Settings, values: Mapping[str, Any], where: str) -> Settings:
    kinds = {each.name: each.type for each in fields(Settings)}
    read: dict[str, Any] = {}
    for name, value in values.items():
        try:
            read[name] = _value(kinds[name], value)
        except (ValueError, TypeError):
            raise InvalidSettings(f"{name} is {value!r} in {where}; it should be {_kind_text(kinds[name])}.") from None
        least = _LEAST.get(name, 0)
        if kinds[name] in (int, float) and read[name] < least:
            raise InvalidSettings(f"{name} is {value!r} in {where}; {least} is the least.")
    return replace(settings, **read)


def _value(kind: Any, value: Any) -> Any:
    choices = getattr(kind, "__args__", None)
    if choices is not None:
        if value not in choices:
            raise ValueError(value)
        return value
    if kind is bool:
        if str(value).lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError(value)
        return str(value).lower() in ("true", "1", "yes")
    if kind is not str and (isinstance(value, bool) or (kind is int and isinstance(value, float))):
        raise ValueError(value)
    read = kind(value)
    if isinstance(read, float) and not math.isfinite(read):
        raise ValueError(value)
    return read


def _kind_text(kind: Any) -> str:
    choices = getattr(kind, "__args__", None)
    return (
        " or ".join(choices)
        if choices
        else {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
    )


def _from_environ(environ: Mapping[str, str]) -> dict[str, str]:
    found = {setting: environ[name] for name, setting in _ALIASES.items() if environ.get(name)}
    for each in fields(Settings):
        value = environ.get(f"IRONFLOW_{each.name.upper()}")
        if value:
            found[each.name] = value
    return found


def _from_file(file: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(_filled(file.read_text("utf-8"), environ))
    except OSError as fault:
        raise InvalidSettings(f"{file} cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"{file} is not UTF-8 text.") from None
    except yaml.YAMLError as fault:
        raise InvalidSettings(f"{file} is not YAML: {' '.join(str(fault).split())}") from None
    if (
        not isinstance(document, dict)
        or document.get("kind", "Server") != "Server"
        or not isinstance(document.get("spec") or {}, dict)
    ):
        raise InvalidSettings(f"{file} should say `apiVersion: ironflow/v1`, `kind: Server` and a `spec`.")
    found: dict[str, Any] = {}
    for path, value in _leaves(document.get("spec") or {}):
        if path not in _FILE_KEYS:
            raise InvalidSettings(
                f"{file} has spec.{path}, which is no setting. Known: {', '.join(sorted(_FILE_KEYS))}."
            )
        found[_FILE_KEYS[path]] = value
    return found


def _filled(text: str, environ: Mapping[str, str]) -> str:
    """`${VAR}` and `${VAR:-default}` replaced from the environment. Raises InvalidSettings for an unset one."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name in environ:
            return environ[name]
        if default is None:
            raise InvalidSettings(f"The file uses ${{{name}}}, which is not set in the environment.")
        return default

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value, text)


def _leaves(node: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in node.items():
        place = f"{path}.{key}" if path else str(key)
        found += _leaves(value, place) if isinstance(value, dict) else [(place, value)]
    return found


def settings_text(settings: Settings) -> str:
    """The settings as JSON, a database password as stars."""
    shown = {each.name: getattr(settings, each.name) for each in fields(Settings)}
    shown["db"] = re.sub(r"://([^:@/]+):[^@/]+@", r"://\1:***@", settings.db)
    return write_json_text(shown)
