"""What an operator can choose. From the environment (`IRONFLOW_…`), or a file (`-f`), and the command line, which wins.

With a file, the variables of settings that a file can name do not count, but for `VARIABLE_OR_FILE`. What is accepted
and has no effect here is listed by `ironflow.server.unused`. Source: behaviour.md 16; DESIGN.md 4;
protocol/operating.md 2.
"""

import math
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ironflow.base.duration import duration_ms
from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.base.json import write_json_text
from ironflow.base.loopback import is_loopback
from ironflow.base.settings import Settings, setting_fields, shown_value
from ironflow.base.target import is_postgres


class InvalidSettings(InvalidArgument):
    """The settings are not valid."""

    code = "INVALID_SETTINGS"


# Names that operators know, besides IRONFLOW_ + the setting's own name.
ALIASES = {
    "IRONFLOW_DATABASE_URL": "db",
    "IRONFLOW_NODE_ID": "node",
    "LOG_LEVEL": "log_level",
    "LOG_FORMAT": "log_format",
    "IRONFLOW_METRICS_ENABLED": "metrics",
    "IRONFLOW_STALE_CLAIM_THRESHOLD": "lease_ms",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "otel_endpoint",
    "OTEL_SERVICE_NAME": "otel_service_name",
}
# The aliases whose values are durations such as 2m.
DURATIONS = ("IRONFLOW_STALE_CLAIM_THRESHOLD", "cluster.staleClaimThreshold")
FILE_KEYS = {
    "port": "port",
    "host": "host",
    "storage.url": "db",
    "storage.path": "db",
    "auth.devMode": "dev",
    "auth.enabled": "auth",
    "auth.bootstrapKeyFile": "bootstrap_key_file",
    "auth.bootstrapAdminKey": "bootstrap_admin_key",
    "auth.bootstrapAdminEmail": "bootstrap_admin_email",
    "auth.bootstrapAdminPassword": "bootstrap_admin_password",
    "auth.sessionHours": "session_hours",
    "auth.oidc.issuer": "oidc_issuer",
    "auth.oidc.clientId": "oidc_client_id",
    "auth.oidc.clientSecret": "oidc_client_secret",
    "auth.oidc.scopes": "oidc_scopes",
    "auth.oidc.newUserRole": "oidc_new_user_role",
    "tls.cert": "tls_cert",
    "tls.key": "tls_key",
    "auth.masterKey": "master_key",
    "auth.masterKeyFile": "master_key_file",
    "auth.masterKeyCommand": "master_key_command",
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
    "limits.entityStateBytes": "entity_state_bytes_max",
    "limits.outputBytes": "output_bytes_max",
    "limits.snapshotBytes": "snapshot_bytes_max",
    "limits.bodyBytes": "body_bytes_max",
    "sql.statementMs": "sql_statement_ms",
    "sql.role": "sql_role",
    "retention.auditDays": "audit_retention_days",
    "retention.runDays": "run_retention_days",
    "retention.eventDays": "event_retention_days",
    "retention.messageDays": "message_retention_days",
    "limits.messagesUnread": "messages_unread_max",
    "retention.snapshotsKept": "snapshots_kept",
    "schemas.enforcement": "event_schema_enforcement",
    "retention.deadLetterDays": "dead_letter_retention_days",
    "limits.projectionStateBytes": "projection_state_bytes_max",
    "limits.projectionWaits": "projection_waits_max",
    "retention.projectionHistoryDays": "projection_history_days",
    "retention.projectionHistoryEveryMs": "projection_history_every_ms",
    "subscriptions.systemEventsKept": "system_events_kept",
    "server.publicUrl": "public_url",
    "retention.webhookDeliveryDays": "webhook_delivery_retention_days",
    "webhooks.secretGraceHours": "webhook_secret_grace_hours_default",
    "push.budgetMs": "push_budget_ms",
    "push.answerBytes": "push_answer_bytes_max",
    "push.concurrency": "push_concurrency",
    "push.allowedNetworks": "push_allowed_networks",
    "push.signingKey": "signing_key",
    "push.signingKeyPrevious": "signing_key_previous",
    "push.signingKeysFile": "signing_keys_file",
    "engine.circuitBreaker.failureThreshold": "push_failure_threshold",
    "engine.circuitBreaker.openMs": "push_open_ms",
    "engine.circuitBreaker.maxOpenMs": "push_open_ms_max",
    "log.level": "log_level",
    "log.format": "log_format",
    "observability.metrics": "metrics",
    "observability.metrics.enabled": "metrics",
    "observability.otel.endpoint": "otel_endpoint",
    "observability.otel.serviceName": "otel_service_name",
    "observability.otel.sampleRate": "otel_sample_rate",
    "observability.otel.insecure": "otel_insecure",
    "observability.metrics.key": "metrics_key",
    "cluster.staleClaimThreshold": "lease_ms",
}
# Settings without a key in published files: beside a file that does not name them, their variables count.
VARIABLE_OR_FILE = ("bootstrap_admin_key", "bootstrap_admin_email", "bootstrap_admin_password", "metrics_key")
# Keys of published files that have no effect here, themselves or what is below them, with the reason.
UNUSED_KEYS = {
    "nats": "nodes meet in PostgreSQL",
    "storage.pool": "each node keeps the connections that it needs",
}
_DRIVERS = {"sqlite": False, "sqlite3": False, "postgres": True, "postgresql": True}
# Other numbers are at least 0.
LEAST = {
    "sql_statement_ms": 10,
    "lease_ms": 100,
    "session_hours": 0.01,
    "reservation_ms": 100,
    "max_attempts": 1,
    "lease_losses_max": 1,
    "push_budget_ms": 1,
    "push_concurrency": 1,
    "push_failure_threshold": 1,
}


def load_settings(file: Path | None = None, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Defaults, then the environment, then the file, then `given` (None means not given). Raises InvalidSettings."""
    settings = Settings()
    environ = os.environ if environ is None else environ
    settings = _with(settings, _from_environ(environ, file), "the environment")
    if file is not None:
        settings = _with(settings, _from_file(file, environ), str(file))
    settings = _with(settings, {name: value for name, value in given.items() if value is not None}, "the command line")
    if settings.dev and not is_loopback(settings.host):
        raise InvalidSettings(f"--dev turns authentication off and so serves loopback only, not {settings.host}.")
    if settings.serves_all and not settings.insecure_no_auth:
        raise InvalidSettings(
            f"Without authentication, everyone who reaches {settings.host} could do everything. Leave authentication "
            "on (--auth), serve loopback only, or add --insecure-no-auth."
        )
    if settings.otel_sample_rate > 1:
        raise InvalidSettings(f"otel_sample_rate is {settings.otel_sample_rate}; it is a part, from 0 to 1.")
    _check_tls(settings)
    return settings


def _check_tls(settings: Settings) -> None:
    """Raises InvalidSettings for files that are no certificate with its key."""
    cert, key = settings.tls_cert, settings.tls_key
    if not cert and not key:
        return
    if not cert or not key:
        raise InvalidSettings("TLS needs both --tls-cert and --tls-key; one is given.")
    reason = tls_fault(cert, key)
    if reason is not None:
        raise InvalidSettings(f"The certificate {cert} with the key {key} cannot be used: {reason}.")


def tls_fault(cert: str, key: str) -> str | None:
    """Why the files are no certificate with its key; None when they are."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as fault:
        return fault.strerror or str(fault)
    return None


def _with(settings: Settings, values: Mapping[str, Any], where: str) -> Settings:
    kinds = {each.name: each.type for each in setting_fields()}
    read: dict[str, Any] = {}
    for name, value in values.items():
        try:
            read[name] = _value(kinds[name], value)
        except (ValueError, TypeError):
            raise InvalidSettings(f"{name} is {value!r} in {where}; it should be {kind_text(kinds[name])}.") from None
        least = LEAST.get(name, 0)
        if kinds[name] in (int, float) and read[name] < least:
            raise InvalidSettings(f"{name} is {value!r} in {where}; {least} is the least.")
    origins = {**settings.origins, **dict.fromkeys(read, where)}
    return replace(settings, **read, origins=origins)


def _value(kind: Any, value: Any) -> Any:
    choices = getattr(kind, "__args__", None)
    if choices is not None:
        # Levels are written in capitals elsewhere, and the second lowest often in full.
        found = {"warning": "warn"}.get(str(value).lower(), str(value).lower())
        if found not in choices:
            raise ValueError(value)
        return found
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


def variables_of(name: str) -> list[str]:
    """The environment variables of a setting; a later one overrules."""
    return [*(alias for alias, setting in ALIASES.items() if setting == name), f"IRONFLOW_{name.upper()}"]


def hidden_by_file(environ: Mapping[str, str], file: Path) -> list[str]:
    """The variables that are set, and do not count beside a file, because the file can name their setting, or does."""
    named = {FILE_KEYS.get(path) for path, _ in file_leaves(file, environ)}
    return [
        variable
        for setting in dict.fromkeys(FILE_KEYS.values())
        if setting not in VARIABLE_OR_FILE or setting in named
        for variable in variables_of(setting)
        if environ.get(variable)
    ]


def _from_environ(environ: Mapping[str, str], file: Path | None) -> dict[str, Any]:
    hidden = hidden_by_file(environ, file) if file is not None else []
    found: dict[str, Any] = {}
    for each in setting_fields():
        for variable in variables_of(each.name):
            if environ.get(variable) and variable not in hidden:
                found[each.name] = _read_duration(variable, environ[variable])
    return found


def _read_duration(name: str, value: Any) -> Any:
    """Milliseconds of a value that is a duration; other values as they are. Raises InvalidSettings."""
    if name not in DURATIONS:
        return value
    try:
        return duration_ms(value)
    except (IronflowError, TypeError):
        raise InvalidSettings(f"{name} is {value!r}; it should be a duration such as 90s or 2m.") from None


def _from_file(file: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    leaves = file_leaves(file, environ)
    for path, value in leaves:
        if path == "storage.driver" or unused_key(path):
            continue
        if path not in FILE_KEYS:
            raise InvalidSettings(
                f"{file} has spec.{path}, which is no setting. Known: {', '.join(sorted(FILE_KEYS))}."
            )
        found[FILE_KEYS[path]] = _read_duration(path, value)
    _check_driver(file, dict(leaves).get("storage.driver"), found.get("db", Settings.db))
    return found


def _check_driver(file: Path, driver: Any, db: Any) -> None:
    """Refuses a driver that is not that of the address."""
    if driver is None:
        return
    if driver not in _DRIVERS:
        raise InvalidSettings(f"{file} has spec.storage.driver {driver!r}; it should be {' or '.join(_DRIVERS)}.")
    if _DRIVERS[driver] != is_postgres(str(db)):
        needed = "a postgresql:// address in spec.storage.url" if _DRIVERS[driver] else "a path in spec.storage.path"
        raise InvalidSettings(f"{file} has spec.storage.driver {driver}, and so needs {needed}.")


def unused_key(path: str) -> str | None:
    """Why a key of a file has no effect; None for a key that is not known to have none."""
    for key, reason in UNUSED_KEYS.items():
        if (path == key or path.startswith(f"{key}.")) and path not in FILE_KEYS:
            return reason
    return None


def file_leaves(file: Path, environ: Mapping[str, str]) -> list[tuple[str, Any]]:
    """The keys of a file below `spec`, with dots between, and their values. Raises InvalidSettings."""
    import yaml

    try:
        document = yaml.safe_load(_filled(file.read_text("utf-8"), environ))
    except OSError as fault:
        raise InvalidSettings(f"{file} cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"{file} is not UTF-8 text.") from None
    except yaml.YAMLError as fault:
        raise InvalidSettings(f"{file} is not YAML: {' '.join(str(fault).split())}") from None
    kind = document.get("kind", "Server") if isinstance(document, dict) else None
    if kind == "Platform":
        raise InvalidSettings(
            f"{file} is of kind Platform, which this server has not: write `kind: Server`, and give each tenant an "
            "environment (`ironflow env create`)."
        )
    if kind not in ("Server", "Cluster") or not isinstance(document.get("spec") or {}, dict):
        raise InvalidSettings(f"{file} should say `apiVersion: ironflow/v1`, `kind: Server` and a `spec`.")
    return _leaves(document.get("spec") or {})


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
    """The settings as JSON, secrets and passwords as stars."""
    shown = {each.name: shown_value(settings, each) for each in setting_fields()}
    return write_json_text(shown)
