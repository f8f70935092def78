"""Settings come from a file, the environment and the command line; what makes no sense is refused with its place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ironflow.base.settings import setting_fields
from ironflow.server.settings import InvalidSettings, Settings, load_settings, settings_text
from ironflow.server.unused import unused_keys, unused_variables

FILE = """\
apiVersion: ironflow/v1
kind: Server
spec:
  port: 9200
  storage:
    url: ${DATABASE:-file.db}
  engine:
    retry: {maxAttempts: 5, backoffFactor: 1.5, onExhausted: pause}
    leaseMs: 60000
  limits: {eventBytes: 2048}
  retention: {runDays: 30}
  log: {level: warn}
"""


def test_without_anything_the_defaults_hold():
    assert load_settings(environ={}) == Settings()


def test_a_file_alone_counts_beside_the_command_line_for_what_it_can_name(tmp_path: Path):
    file = tmp_path / "ironflow.yaml"
    file.write_text(FILE)
    environ = {"IRONFLOW_PORT": "9300", "IRONFLOW_LEASE_MS": "70000", "LOG_LEVEL": "debug", "IRONFLOW_HOST": ""}
    # A file has no key for it.
    environ["IRONFLOW_SHUTDOWN_MS"] = "77"

    settings = load_settings(file, environ, port=9400, db=None)

    changed = {
        each.name: getattr(settings, each.name)
        for each in setting_fields()
        if getattr(settings, each.name) != each.default
    }
    assert changed == {
        "port": 9400,
        "db": "file.db",
        "log_level": "warn",
        "lease_ms": 60_000,
        "shutdown_ms": 77,
        "max_attempts": 5,
        "backoff_factor": 1.5,
        "on_exhausted": "pause",
        "event_bytes_max": 2048,
        "run_retention_days": 30,
    }
    assert load_settings(file, {"DATABASE": "postgresql://x/y"}).db == "postgresql://x/y"


def test_names_that_operators_know_are_understood():
    environ = {"IRONFLOW_DATABASE_URL": "postgresql://x/y", "IRONFLOW_NODE_ID": "n1", "LOG_FORMAT": "json"}
    settings = load_settings(environ=environ)
    assert (settings.db, settings.node, settings.log_format) == ("postgresql://x/y", "n1", "json")
    assert load_settings(environ={**environ, "IRONFLOW_DB": "own.db"}).db == "own.db"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"IRONFLOW_PORT": "many"}, "port is 'many' in the environment; it should be a whole number"),
        ({"IRONFLOW_PORT": "-1"}, "0 is the least"),
        ({"IRONFLOW_PORT": "1.5"}, "a whole number"),
        ({"IRONFLOW_DEV": "perhaps"}, "true or false"),
        ({"IRONFLOW_HTTP_SERVER": "apache"}, "h2corn or granian"),
        ({"IRONFLOW_ON_EXHAUSTED": "panic"}, "fail or pause"),
        ({"IRONFLOW_MAX_ATTEMPTS": "0"}, "1 is the least"),
        ({"IRONFLOW_LEASE_MS": "5"}, "100 is the least"),
        ({"IRONFLOW_BACKOFF_FACTOR": "nan"}, "a number"),
        ({"IRONFLOW_BACKOFF_FACTOR": "inf"}, "a number"),
        ({"IRONFLOW_MAX_DELAY_MS": "-5"}, "0 is the least"),
        # A retention below nothing would remove every run that has ended.
        ({"IRONFLOW_RUN_RETENTION_DAYS": "-1"}, "0 is the least"),
        ({"IRONFLOW_RUN_RETENTION_DAYS": "nan"}, "a number"),
        ({"LOG_LEVEL": "trace"}, "debug or info or warn or error or silent"),
        ({"IRONFLOW_METRICS_ENABLED": "perhaps"}, "true or false"),
        ({"IRONFLOW_STALE_CLAIM_THRESHOLD": "soon"}, "a duration such as 90s"),
        ({"IRONFLOW_DEV": "true", "IRONFLOW_HOST": "0.0.0.0"}, "loopback only"),
        ({"IRONFLOW_DEV": "true", "IRONFLOW_HOST": "::", "IRONFLOW_INSECURE_NO_AUTH": "true"}, "loopback only"),
        ({"IRONFLOW_AUTH": "false", "IRONFLOW_HOST": "0.0.0.0"}, "--insecure-no-auth"),
        ({"IRONFLOW_AUTH": "false", "IRONFLOW_HOST": "shop.example"}, "--insecure-no-auth"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(environ: dict[str, str], expected: str):
    with pytest.raises(InvalidSettings) as refusal:
        load_settings(environ=environ)
    assert expected in refusal.value.message


@pytest.mark.parametrize(
    "environ",
    [
        {"IRONFLOW_HOST": "0.0.0.0"},
        {"IRONFLOW_HOST": "0.0.0.0", "IRONFLOW_AUTH": "false", "IRONFLOW_INSECURE_NO_AUTH": "true"},
        {"IRONFLOW_HOST": "127.0.0.2", "IRONFLOW_AUTH": "false"},
        {"IRONFLOW_HOST": "::1", "IRONFLOW_DEV": "true"},
    ],
)
def test_a_host_is_served_with_authentication_on_loopback_or_at_the_operators_risk(environ: dict[str, str]):
    assert load_settings(environ=environ).host == environ["IRONFLOW_HOST"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spec: {port: x}", "port is 'x'"),
        ("spec: {port: true}", "a whole number"),
        ("spec: {engine: {retry: {maxAttempts: 2.5}}}", "a whole number"),
        ("spec: {ports: 1}", "spec.ports, which is no setting"),
        ("spec: [1]", "should say"),
        ("[]", "should say"),
        ("kind: Worker", "should say"),
        ("kind: Platform", "write `kind: Server`"),
        ("spec: {storage: {driver: mysql}}", "sqlite or sqlite3 or postgres"),
        ("spec: {storage: {driver: postgres, path: x.db}}", "needs a postgresql:// address"),
        ("spec: {cluster: {staleClaimThreshold: soon}}", "a duration such as 90s"),
        ("spec: {port: 1", "is not YAML"),
        ("spec: {host: ${NOT_SET}}", "${NOT_SET}, which is not set"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: Any, expected: str):
    file = tmp_path / "ironflow.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidSettings) as refusal:
        load_settings(file, {})
    assert expected in refusal.value.message


PUBLISHED = """\
apiVersion: ironflow/v1
kind: Cluster
spec:
  port: 9200
  nats: {url: "nats://a:4222", storeDir: /data, port: 4222}
  storage: {driver: postgres, url: "postgresql://x/y", pool: {maxConns: 20}}
  observability: {metrics: false}
  auth: {masterKey: "00ff"}
  cluster: {staleClaimThreshold: 2m, nodeId: n1}
"""


def test_a_published_file_is_read_and_what_has_no_effect_is_named(tmp_path: Path):
    file = tmp_path / "ironflow.yaml"
    file.write_text(PUBLISHED)

    settings = load_settings(file, {"IRONFLOW_PORT": "9300"})

    assert (settings.port, settings.db, settings.node) == (9200, "postgresql://x/y", "n1")
    assert (settings.lease_ms, settings.metrics, settings.master_key) == (120_000, False, "00ff")
    assert list(unused_keys(file, {})) == [
        "spec.nats.url",
        "spec.nats.storeDir",
        "spec.nats.port",
        "spec.storage.pool.maxConns",
    ]
    assert unused_variables({"IRONFLOW_PORT": "9300", "IRONFLOW_SHUTDOWN_MS": "5"}, file) == {
        "IRONFLOW_PORT": f"the file {file} alone counts"
    }


# Published variables with a value, and what our server makes of each: a setting with its value, or a reason.
VARIABLES: list[tuple[str, str, Any]] = [
    ("IRONFLOW_HOST", "0.0.0.0", ("host", "0.0.0.0")),
    ("IRONFLOW_DATABASE_URL", "postgres://a@b/c?sslmode=disable", ("db", "postgres://a@b/c?sslmode=disable")),
    ("IRONFLOW_NODE_ID", "n1", ("node", "n1")),
    ("IRONFLOW_EVENT_RETENTION_DAYS", "7", ("event_retention_days", 7.0)),
    ("LOG_LEVEL", "WARNING", ("log_level", "warn")),
    ("IRONFLOW_METRICS_ENABLED", "false", ("metrics", False)),
    ("IRONFLOW_STALE_CLAIM_THRESHOLD", "2m", ("lease_ms", 120_000)),
    ("IRONFLOW_BOOTSTRAP_ADMIN_KEY", "ifkey_x", ("bootstrap_admin_key", "ifkey_x")),
    ("IRONFLOW_MASTER_KEY", "00ff", ("master_key", "00ff")),
    ("IRONFLOW_OTEL_ENDPOINT", "http://x", ("otel_endpoint", "http://x")),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x", ("otel_endpoint", "http://x")),
    ("IRONFLOW_OTEL_SAMPLE_RATE", "0.25", ("otel_sample_rate", 0.25)),
    ("IRONFLOW_OTEL_SERVICE_NAME", "x", ("otel_service_name", "x")),
    ("OTEL_SERVICE_NAME", "x", ("otel_service_name", "x")),
    ("IRONFLOW_OTEL_INSECURE", "false", ("otel_insecure", False)),
    ("NATS_URL", "nats://x", "nodes meet in PostgreSQL"),
    ("NATS_STORE_DIR", "/data", "nodes meet in PostgreSQL"),
    ("NATS_CREDS_FILE", "/c", "nodes meet in PostgreSQL"),
    ("IRONFLOW_BLOB_URL", "s3://x", "payloads are kept in the database"),
    ("IRONFLOW_NONSENSE", "x", "no setting of this server"),
]


@pytest.mark.parametrize(("variable", "value", "expected"), VARIABLES)
def test_every_published_variable_is_a_setting_or_is_named(variable: str, value: str, expected: Any):
    environ = {variable: value}

    if isinstance(expected, str):
        assert load_settings(environ=environ) == Settings()
        assert unused_variables(environ) == {variable: expected}
    else:
        setting, read = expected
        assert getattr(load_settings(environ=environ), setting) == read
        assert unused_variables(environ) == {}


def test_our_own_variables_of_tracing_overrule_those_of_opentelemetry():
    environ = {"IRONFLOW_OTEL_ENDPOINT": "http://ours", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs"}
    assert load_settings(environ=environ).otel_endpoint == "http://ours"


def test_a_sample_rate_is_a_part():
    with pytest.raises(InvalidSettings, match="from 0 to 1"):
        load_settings(environ={"IRONFLOW_OTEL_SAMPLE_RATE": "1.5"})


def test_variables_of_the_client_are_no_business_of_the_server():
    environ = {"IRONFLOW_SERVER_URL": "http://x", "IRONFLOW_API_KEY": "k", "IRONFLOW_ENV": "e", "PATH": "/bin"}
    assert unused_variables(environ) == {}


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_settings(tmp_path / "nothing.yaml", {})


def test_settings_are_shown_without_the_databases_password():
    text = settings_text(load_settings(environ={"IRONFLOW_DB": "postgresql://ada:s3cret@db:5432/x"}))
    assert "s3cret" not in text
    assert msgspec.json.decode(text)["db"] == "postgresql://ada:***@db:5432/x"


def test_each_value_knows_where_it_came_from(tmp_path: Path):
    file = tmp_path / "server.yaml"
    file.write_text("kind: Server\nspec:\n  port: 9300\n  engine:\n    leaseMs: 5000\n")

    settings = load_settings(file, {"IRONFLOW_SHUTDOWN_MS": "77"}, port=9400)

    assert settings.origins == {"shutdown_ms": "the environment", "lease_ms": str(file), "port": "the command line"}
    assert settings == replace(settings, origins={})


def test_a_file_names_the_first_key_and_user_and_else_their_variables_count(tmp_path: Path):
    file = tmp_path / "ironflow.yaml"
    environ = {
        "IRONFLOW_BOOTSTRAP_ADMIN_KEY": "ifkey_of_the_variable",
        "IRONFLOW_BOOTSTRAP_ADMIN_PASSWORD": "of the variable",
        "IRONFLOW_PORT": "1",
    }
    file.write_text("spec: {port: 2}")
    settings = load_settings(file, environ)
    assert (settings.port, settings.bootstrap_admin_key) == (2, "ifkey_of_the_variable")
    assert set(unused_variables(environ, file)) == {"IRONFLOW_PORT"}

    file.write_text(
        "spec: {auth: {bootstrapAdminKey: ifkey_of_the_file, bootstrapAdminEmail: ops@example.com, "
        "bootstrapAdminPassword: of the file}}"
    )
    settings = load_settings(file, environ)
    assert (settings.bootstrap_admin_key, settings.bootstrap_admin_email, settings.bootstrap_admin_password) == (
        "ifkey_of_the_file",
        "ops@example.com",
        "of the file",
    )
    assert set(unused_variables(environ, file)) == set(environ)
