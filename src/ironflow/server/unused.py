"""What an operator has set and what has no effect here: named once, at the start. Source: protocol/operating.md 2."""

from collections.abc import Mapping
from pathlib import Path

from ironflow.base.settings import setting_fields
from ironflow.server.settings import (
    ALIASES,
    FILE_KEYS,
    file_leaves,
    hidden_by_file,
    unused_key,
    variables_of,
)

MEET_IN_POSTGRES = "nodes meet in PostgreSQL"
# Variables of published compose files and unit files, with what is so here.
_REASONS = {
    "NATS_URL": MEET_IN_POSTGRES,
    "NATS_STORE_DIR": MEET_IN_POSTGRES,
    "NATS_CREDS_FILE": MEET_IN_POSTGRES,
    "IRONFLOW_BLOB_URL": "payloads are kept in the database",
}
# Variables of the client and of the tests, which may be set beside a server.
_ELSEWHERE = ("IRONFLOW_SERVER_URL", "IRONFLOW_API_KEY", "IRONFLOW_ENV", "IRONFLOW_CODEC", "IRONFLOW_CONFIG_DIR")
_OF_TESTS = "IRONFLOW_TEST_"
_NO_SETTING = "no setting of this server"


def unused_variables(environ: Mapping[str, str], file: Path | None = None) -> dict[str, str]:
    """Variables that are set and have no effect, with the reason; those that a file hides included."""
    known = {*ALIASES, *_ELSEWHERE, *(name for each in setting_fields() for name in variables_of(each.name))}
    found = {
        name: _REASONS.get(name, _NO_SETTING)
        for name in sorted(environ)
        if environ[name]
        and name not in known
        and (name in _REASONS or name.startswith("IRONFLOW_"))
        and not name.startswith(_OF_TESTS)
    }
    if file is not None:
        found |= dict.fromkeys(hidden_by_file(environ, file), f"the file {file} alone counts")
    return found


def unused_keys(file: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Keys of a file that are accepted and have no effect, with the reason. Raises InvalidSettings."""
    reasons = {f"spec.{path}": unused_key(path) for path, _ in file_leaves(file, environ) if path not in FILE_KEYS}
    return {path: reason for path, reason in reasons.items() if reason is not None}


def unused_flags(*, nats: bool, pprof: bool) -> dict[str, str]:
    """Options of `serve` that are given and have no effect, with the reason."""
    found = {"--nats-url and --nats-port": MEET_IN_POSTGRES} if nats else {}
    return found | ({"--pprof": "profile the process from outside, such as with py-spy"} if pprof else {})
