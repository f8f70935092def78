"""`ironflow secret` against a real server."""

import io
import sys
import uuid
from pathlib import Path

import pytest


@pytest.fixture
def name() -> str:
    return f"K_{uuid.uuid4().hex[:8]}"


def test_a_secret_is_set_shown_listed_and_deleted_without_its_value(ironflow, name):
    made = ironflow("secret", "set", name, "sk_live_1234", "--description", "cards")
    assert (made.code, made.out) == (0, f"set {name} (revision 1)\n")
    again = ironflow("secret", "set", name, "sk_live_5678", "--json")
    assert (again.json["revision"], again.json["description"]) == (2, "cards")
    shown = ironflow("secret", "get", name)
    listed = ironflow("secret", "list")
    assert "cards" in shown.out
    assert name in listed.out
    assert "sk_live" not in shown.out + listed.out + again.out

    kept = ironflow("secret", "delete", name)
    assert (kept.code, "unchanged" in kept.err) == (2, True)
    assert ironflow("secret", "delete", name, "--yes").out == f"deleted {name}\n"
    assert ironflow("secret", "get", name).code == 4


def test_a_value_comes_from_a_file_or_standard_input(ironflow, name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "value").write_text("from a file\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped\n")))
    assert ironflow("secret", "set", name, f"@{tmp_path / 'value'}").code == 0
    assert ironflow("secret", "set", name, "-").code == 0
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    refused = ironflow("secret", "set", name, f"@{tmp_path / 'bytes'}")
    assert (refused.code, "base64" in refused.err) == (2, True)


def test_another_environment_has_its_own(ironflow, name):
    assert ironflow("secret", "set", name, "value", "--env", "staging").code == 0
    assert ironflow("secret", "get", name).code == 4
    assert ironflow("secret", "get", name, "--env", "staging").code == 0


def test_rekey_encrypts_everything_anew(ironflow, name):
    ironflow("secret", "set", name, "value")
    done = ironflow("secret", "rekey", "--json").json
    assert done["secrets"] >= 1
    assert len(done["master_key"]) == 16
    assert ironflow("secret", "rekey").out.startswith("encrypted ")
