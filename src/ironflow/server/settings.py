"""What an operator can choose. From a file (`-f`), the environment (`IRONFLOW_…`) and the command line, which wins.

Source: behaviour.md 16; DESIGN.md 4.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import write_json_text

DEFAULT_PORT = 9123


class InvalidSettings(InvalidArgument):
    """The settings are not valid."""

    code = "INVALID_SETTINGS"


def _setting(default: Any, meaning: str) -> Any:
    """A setting with its meaning, for the reference page."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Sizes in bytes, times in milliseconds; docs/reference/settings.md is made from it."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(DEFAULT_PORT, "Port of everything: REST, RPC, metrics; 0 takes a free one.")
    db: str = _setting("ironflow.db", "Path of a SQLite file, or `postgresql://…`.")
    dev: bool = _setting(False, "For development: without authentication, and so on loopback only.")
    http_server: Literal["h2corn", "granian"] = _setting("h2corn", "What speaks HTTP.")
    node: str = _setting("", "This process's name among those on one PostgreSQL; made up when empty.")
    log_level: str = _setting("info", "The least important lines shown: debug, info, warn, error or silent.")
    log_format: Literal["text", "json"] = _setting("text", "Log lines as text or as JSON.")
    lease_ms: int = _setting(
        90_000, "How long a worker that says nothing keeps a run; more than two heartbeats of its workers."
    )
    reservation_ms: int = _setting(30_000, "How long a job that was handed out waits for its ack.")
    worker_evict_ms: int = _setting(120_000, "After how long without a word a worker is forgotten.")
    lease_losses_max: int = _setting(10, "Lost leases in a row, without a new step, after which a run fails.")
    max_attempts: int = _setting(3, "Attempts of a run, the first one included, where its function does not say.")
    initial_delay_ms: int = _setting(1_000, "Delay before the second attempt, where the function does not say.")
    backoff_factor: float = _setting(2.0, "By what each further delay is longer, where the function does not say.")
    max_delay_ms: int = _setting(300_000, "The longest delay between attempts, where the function does not say.")
    on_exhausted: Literal["fail", "pause"] = _setting(
        "fail", "What becomes of a run whose attempts are used up, where its function does not say."
    )
    function_timeout_ms: int = _setting(
        600_000, "How long one execution may take, from ack to report, where the function does not say."
    )
    event_bytes_max: int = _setting(1024 * 1024, "The largest data of an event.")
    output_bytes_max: int = _setting(4 * 1024 * 1024, "The largest output of a step or run.")
    snapshot_bytes_max: int = _setting(4 * 1024 * 1024, "The largest state of an entity's snapshot.")
    body_bytes_max: int = _setting(32 * 1024 * 1024, "The largest request body.")
    event_schema_enforcement: Literal["off", "warn", "reject"] = _setting(
        "off", "What becomes of events that do not fit their registered schema: not looked at, logged, or refused."
    )
    event_retention_days: float = _setting(
        0,
        "Days after which events are removed from the beginning of the log, "
        "unless a run, a reader or an entity still needs them; 0 keeps all.",
    )
    run_retention_days: float = _setting(0, "Days after its end when a run is removed with its steps; 0 keeps all.")
    snapshots_kept: int = _setting(0, "Snapshots kept of each entity, those of the latest versions; 0 keeps all.")
    dead_letter_retention_days: float = _setting(
        0, "Days after which a consumer group's dead letter is forgotten; 0 keeps all."
    )
    sql_statement_ms: int = _setting(1_000, "How long one statement of a SQL projection may take.")
    sql_role: str = _setting("", "On PostgreSQL: the role that users' SQL runs as; the server's own when empty.")
    projection_state_bytes_max: int = _setting(8 * 1024 * 1024, "The largest state of a projection's partition.")
    projection_waits_max: int = _setting(512, "Callers that may wait for projections at a time, on each node.")
    projection_history_days: float = _setting(
        7, "Days for which older states of projections are kept, to look back at; 0 keeps none."
    )
    projection_history_every_ms: int = _setting(
        60_000, "At most one state of a partition is kept for looking back in this time; 0 keeps every one."
    )
    system_events_kept: int = _setting(
        1_000, "About how many of the system's own events (`system.>`) are kept in memory for those who look back."
    )
    shutdown_ms: int = _setting(10_000, "How long requests under way may take when the server stops.")


# Names that operators know, besides IRONFLOW_ + the setting's own name.
ALIASES = {
    "IRONFLOW_DATABASE_URL": "db",
    "IRONFLOW_NODE_ID": "node",
    "LOG_LEVEL": "log_level",
    "LOG_FORMAT": "log_format",
}
FILE_KEYS = {
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
    "limits.snapshotBytes": "snapshot_bytes_max",
    "limits.bodyBytes": "body_bytes_max",
    "sql.statementMs": "sql_statement_ms",
    "sql.role": "sql_role",
    "retention.runDays": "run_retention_days",
    "retention.eventDays": "event_retention_days",
    "retention.snapshotsKept": "snapshots_kept",
    "schemas.enforcement": "event_schema_enforcement",
    "retention.deadLetterDays": "dead_letter_retention_days",
    "limits.projectionStateBytes": "projection_state_bytes_max",
    "limits.projectionWaits": "projection_waits_max",
    "retention.projectionHistoryDays": "projection_history_days",
    "retention.projectionHistoryEveryMs": "projection_history_every_ms",
    "subscriptions.systemEventsKept": "system_events_kept",
    "log.level": "log_level",
    "log.format": "log_format",
}
# Other numbers are at least 0.
LEAST = {"sql_statement_ms": 10, "lease_ms": 100, "reservation_ms": 100, "max_attempts": 1, "lease_losses_max": 1}


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
            raise InvalidSettings(f"{name} is {value!r} in {where}; it should be {kind_text(kinds[name])}.") from None
        least = LEAST.get(name, 0)
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


def kind_text(kind: Any) -> str:
    choices = getattr(kind, "__args__", None)
    return (
        " or ".join(choices)
        if choices
        else {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
    )


def _from_environ(environ: Mapping[str, str]) -> dict[str, str]:
    found = {setting: environ[name] for name, setting in ALIASES.items() if environ.get(name)}
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
        if path not in FILE_KEYS:
            raise InvalidSettings(
                f"{file} has spec.{path}, which is no setting. Known: {', '.join(sorted(FILE_KEYS))}."
            )
        found[FILE_KEYS[path]] = value
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
