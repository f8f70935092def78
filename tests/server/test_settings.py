"""Settings come from a file, the environment and the command line; what makes no sense is refused with its place."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ironflow.server.settings import InvalidSettings, Settings, load_settings, settings_text

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


def test_a_file_is_overruled_by_the_environment_and_that_by_the_command_line(tmp_path: Path):
    file = tmp_path / "ironflow.yaml"
    file.write_text(FILE)
    environ = {"IRONFLOW_PORT": "9300", "IRONFLOW_LEASE_MS": "70000", "LOG_LEVEL": "debug", "IRONFLOW_HOST": ""}

    settings = load_settings(file, environ, port=9400, db=None)

    changed = {name: value for name, value in asdict(settings).items() if value != getattr(Settings(), name)}
    assert changed == {
        "port": 9400,
        "db": "file.db",
        "log_level": "debug",
        "lease_ms": 70_000,
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
    ("environ", "says"),
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
        ({"IRONFLOW_DEV": "true", "IRONFLOW_HOST": "0.0.0.0"}, "loopback only"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(environ: dict[str, str], says: str):
    with pytest.raises(InvalidSettings) as refusal:
        load_settings(environ=environ)
    assert says in refusal.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("spec: {port: x}", "port is 'x'"),
        ("spec: {port: true}", "a whole number"),
        ("spec: {engine: {retry: {maxAttempts: 2.5}}}", "a whole number"),
        ("spec: {ports: 1}", "spec.ports, which is no setting"),
        ("spec: [1]", "should say"),
        ("[]", "should say"),
        ("kind: Worker", "should say"),
        ("spec: {port: 1", "is not YAML"),
        ("spec: {host: ${NOT_SET}}", "${NOT_SET}, which is not set"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: Any, says: str):
    file = tmp_path / "ironflow.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidSettings) as refusal:
        load_settings(file, {})
    assert says in refusal.value.message


def test_a_file_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_settings(tmp_path / "nothing.yaml", {})


def test_settings_are_shown_without_the_databases_password():
    text = settings_text(load_settings(environ={"IRONFLOW_DB": "postgresql://ada:s3cret@db:5432/x"}))
    assert "s3cret" not in text
    assert msgspec.json.decode(text)["db"] == "postgresql://ada:***@db:5432/x"
