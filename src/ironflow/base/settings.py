"""The settings of a server, as values. How they are read from files and the environment: `ironflow.server.settings`."""

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ironflow.base.loopback import is_loopback

DEFAULT_PORT = 9123


# Paths, addresses and accounts of the machine: keys of one environment do not see them.
OPERATORS = frozenset(
    {
        "db", "bootstrap_key_file", "bootstrap_admin_email", "oidc_issuer", "oidc_client_id", "master_key_file",
        "master_key_command", "tls_cert", "tls_key", "otel_endpoint", "push_allowed_networks", "signing_keys_file",
        "sql_role",
    }
)  # fmt: skip


def _setting(default: Any, meaning: str, *, secret: bool = False) -> Any:
    """A setting with its meaning, for the reference page. secret: it is not shown."""
    return field(default=default, metadata={"meaning": meaning, "secret": secret}, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Sizes in bytes, times in milliseconds; docs/reference/settings.md is made from it."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(DEFAULT_PORT, "Port of everything: REST, RPC, metrics; 0 takes a free one.")
    db: str = _setting("ironflow.db", "Path of a SQLite file, or `postgresql://…`.")
    dev: bool = _setting(False, "For development: without authentication, and so on loopback only.")
    auth: bool = _setting(
        True, "Whether every request needs an API key, except with `dev`. At its first start the server makes one."
    )
    insecure_no_auth: bool = _setting(
        False, "Serve other hosts than loopback without authentication: for every caller that reaches the port."
    )
    allowed_hosts: str = _setting(
        "",
        "Names that the server is called by, separated by commas, besides loopback and its address; `*` for all. Of "
        "effect without authentication only.",
    )
    cors_origins: str = _setting(
        "", "Origins whose pages may call the server, separated by commas; `*` for all; when empty, those of loopback."
    )
    bootstrap_key_file: str = _setting(
        "",
        "Where the first API key is written; when empty, `.ironflow_bootstrap_key.json` beside the SQLite file, or in "
        "the working directory with PostgreSQL.",
    )
    bootstrap_admin_key: str = _setting(
        "", "The first API key, instead of a random one; then no file is written.", secret=True
    )
    bootstrap_admin_email: str = _setting(
        "admin@localhost", "The e-mail address of the first user, where `bootstrap_admin_password` makes one."
    )
    bootstrap_admin_password: str = _setting(
        "", "The password of the first user, an administrator, who is made at the first start with it.", secret=True
    )
    session_hours: float = _setting(12, "Hours after a log-in when the session of a user ends.")
    oidc_issuer: str = _setting(
        "",
        "The provider of OpenID Connect for log-in to the dashboard, such as `https://login.example.com/realms/a`. "
        "Needs `pip install ironflow[oidc]`.",
    )
    oidc_client_id: str = _setting("", "This server's id at the provider.")
    oidc_client_secret: str = _setting("", "This server's secret at the provider.", secret=True)
    oidc_scopes: str = _setting("openid email profile", "What the provider is asked for.")
    oidc_new_user_role: str = _setting(
        "",
        "The role of users whom the provider knows and this server does not, such as `viewer`; when empty, an "
        "administrator creates each.",
    )
    master_key: str = _setting(
        "",
        "The key that encrypts secrets: 64 hexadecimal digits; after it, separated by spaces, those from before.",
        secret=True,
    )
    master_key_file: str = _setting("", "A file with the master keys, instead of `master_key`; the newest first.")
    master_key_command: str = _setting("", "A shell command that prints the master keys, instead of `master_key`.")
    tls_cert: str = _setting("", "A file with the certificate chain, in PEM: the port then speaks TLS.")
    tls_key: str = _setting("", "A file with the private key of `tls_cert`, in PEM.")
    http_server: Literal["h2corn", "granian"] = _setting("h2corn", "What speaks HTTP.")
    node: str = _setting("", "This process's name among those on one PostgreSQL; made up when empty.")
    log_level: Literal["debug", "info", "warn", "error", "silent"] = _setting(
        "info", "The lowest level that is logged."
    )
    log_format: Literal["text", "json"] = _setting("text", "Log lines as text or as JSON.")
    lease_ms: int = _setting(
        90_000, "How long a worker that says nothing keeps a run; more than two heartbeats of its workers."
    )
    reservation_ms: int = _setting(30_000, "How long a job that was handed out waits for its ack.")
    worker_evict_ms: int = _setting(120_000, "After how long without a request a worker is forgotten.")
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
    inherited_metadata: str = _setting(
        "",
        "Keys of an event's metadata, such as `correlation_id user`, that events, messages to topics and runs inherit "
        "which the runs of the event make.",
    )
    event_retention_days: float = _setting(
        0,
        "Days after which events are removed from the beginning of the log, "
        "unless a run, a reader or an entity still needs them; 0 keeps all.",
    )
    audit_retention_days: float = _setting(
        0, "Days after which audit notes are removed, from the beginning of their chain; 0 keeps all."
    )
    on_code_change: Literal["continue", "warn", "pause", "pin"] = _setting(
        "warn",
        "What becomes of runs under way when their handler does not ask for recorded steps any more, where the "
        "function does not name it: go on, go on with a note, pause; or `pin`: runs go on with workers of the version "
        "that they began with.",
    )
    run_log_level: Literal["off", "debug", "info", "warn", "error"] = _setting(
        "info", "From which level on lines of `ctx.logger` are kept with their run; `off` keeps none."
    )
    run_log_lines_max: int = _setting(1_000, "Lines that are kept of a run; 0 keeps none.")
    run_log_line_bytes_max: int = _setting(8 * 1024, "What is kept of a line: its text, and its data if it fits.")
    run_retention_days: float = _setting(0, "Days after its end when a run is removed with its steps; 0 keeps all.")
    message_retention_days: float = _setting(
        7, "Days after which a message to a run is removed, once it was taken or its run ended; 0 keeps all."
    )
    messages_unread_max: int = _setting(100_000, "Messages that a run may have from its oldest unread one on.")
    entity_state_bytes_max: int = _setting(256 * 1024, "The largest state of an entity.")
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
    metrics: bool = _setting(True, "Whether `/metrics` is served; otherwise it answers 404.")
    otel_endpoint: str = _setting(
        "",
        "Where traces and metrics are sent, by OTLP over HTTP, such as `http://localhost:4318`; nothing is sent when "
        "empty. Needs `pip install ironflow-engine[otel]`.",
    )
    otel_service_name: str = _setting("ironflow", "The name of this service in traces and metrics.")
    otel_sample_rate: float = _setting(
        1.0, "The part of traces that is recorded, from 0 to 1, of those that begin here; others follow their caller."
    )
    otel_insecure: bool = _setting(True, "Whether an `otel_endpoint` without `http://` or `https://` is plain HTTP.")
    metrics_key: bool = _setting(
        False,
        "Whether `/metrics` demands a key of all environments with the scope `server:read`. With it, or without "
        "authentication, it shows what single tenants use as well.",
    )
    connections_max: int = _setting(
        0,
        "Connections at a time; further ones wait until one closes. 0 for three quarters of the process's limit on "
        "file descriptors (`ulimit -n`), or fewer where less than 48 would be left for files and databases. The soft "
        "limit is raised at the start.",
    )
    connection_idle_ms: int = _setting(120_000, "How long a connection without a request stays open.")
    request_head_ms: int = _setting(10_000, "How long the head of a request may pause; a first one has half of it.")
    database_wait_ms: int = _setting(
        5_000,
        "On PostgreSQL: how long a request may wait for its turn, and for a lock, before it is refused with nothing "
        "done.",
    )
    public_url: str = _setting(
        "",
        "Where other systems reach this server, such as `https://flow.example.com`; some webhooks sign it, and "
        "endpoints call back there. When empty, the address that it "
        "listens on.",
    )
    webhook_delivery_retention_days: float = _setting(
        30, "Days after which a webhook delivery is forgotten; 0 keeps all."
    )
    webhook_secret_grace_hours_default: float = _setting(
        24, "For how many hours a webhook's previous secret is accepted, where its rotation does not say."
    )
    push_budget_ms: int = _setting(
        10_000, "How long a push function's endpoint may take to answer, where the function does not say."
    )
    push_answer_bytes_max: int = _setting(4 * 1024 * 1024, "The largest answer of an endpoint.")
    push_concurrency: int = _setting(100, "Requests to one endpoint at a time, over all nodes.")
    push_allowed_networks: str = _setting(
        "",
        "Networks that endpoints may be in besides public ones, such as `10.0.0.0/8, 192.168.1.7`; `dev` adds "
        "loopback.",
    )
    push_failure_threshold: int = _setting(5, "Failed requests in a row that open the circuit breaker of an endpoint.")
    push_open_ms: int = _setting(
        60_000, "How long a circuit breaker stays open the first time; doubled by each trial that fails."
    )
    push_open_ms_max: int = _setting(600_000, "The longest time that a circuit breaker stays open.")
    signing_key: str = _setting(
        "", "What requests to endpoints are signed with; without it they are not signed.", secret=True
    )
    signing_key_previous: str = _setting(
        "", "The key before, while it is being replaced: requests are signed with both.", secret=True
    )
    signing_keys_file: str = _setting(
        "",
        "A JSON file with keys of their own for environments and functions: "
        '`{"staging": "key", "default/charge": ["key", "previous"]}`.',
    )
    shutdown_ms: int = _setting(
        7_000, "After how long a server that is asked to stop has ended; requests under way have half of it at least."
    )

    # Where each value that is not the default came from: by name, `the environment`, a file, `the command line`.
    origins: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)

    @property
    def serves_all(self) -> bool:
        """Whether every host that reaches the port may do everything."""
        return not self.enforces_auth and not is_loopback(self.host)

    @property
    def enforces_auth(self) -> bool:
        """Whether requests need an API key."""
        return self.auth and not self.dev

    @property
    def key_file(self) -> Path:
        """Where the first API key is written."""
        if self.bootstrap_key_file:
            return Path(self.bootstrap_key_file)
        return self._folder / ".ironflow_bootstrap_key.json"

    @property
    def dev_master_key_file(self) -> Path:
        """Where the master key that `dev` makes is kept."""
        return self._folder / ".ironflow_master_key"

    @property
    def _folder(self) -> Path:
        """Of files beside the database; with PostgreSQL the working directory."""
        return Path() if self.db.startswith(("postgres:", "postgresql:")) else Path(self.db).parent


def setting_fields() -> list["Field[Any]"]:
    """The settings themselves, without where their values came from."""
    return [each for each in fields(Settings) if "meaning" in each.metadata]


def shown_value(settings: Settings, setting: "Field[Any]", *, to_operator: bool = True) -> Any:
    """A value as it may be shown: a secret, and the password of an address, as stars.

    to_operator: false for a tenant, to which OPERATORS are stars too.
    """
    value = getattr(settings, setting.name)
    if value and (setting.metadata["secret"] or (setting.name in OPERATORS and not to_operator)):
        return "***"
    return without_password(value) if setting.name in ("db", "otel_endpoint") else value


def without_password(address: str) -> str:
    """An address as it may be shown and logged, with its password as stars."""
    return re.sub(r"(^|://)([^:@/]*):[^@/]+@", r"\1\2:***@", address)
