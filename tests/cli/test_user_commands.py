"""`ironflow user`, and `login` and `logout` of a user, against a server that was started without --dev."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.guarded import Guarded, guarded, server

__all__ = ["guarded", "server"]

pytestmark = pytest.mark.processes

PASSWORD = "correct horse battery"


@pytest.fixture
def admin(guarded: Guarded) -> tuple[str, str]:
    return ("--api-key", guarded.key)


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_user_is_created_logs_in_and_out_and_is_deleted(
    ironflow, admin: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    type_in(monkeypatch, f"{PASSWORD}\n")
    made = json.loads(ironflow("user", "create", "ada@example.com", "--role", "viewer", *admin, "--json").out)
    assert (made["email"], made["roles"]) == ("ada@example.com", ["role_viewer"])
    assert "ada@example.com" in ironflow("user", "list", *admin).out

    type_in(monkeypatch, "wrong password\n")
    assert ironflow("login", "--user", "ada@example.com").code == 5
    type_in(monkeypatch, PASSWORD)
    assert ironflow("login", "--user", "ada@example.com").code == 0
    kept = (tmp_path / "settings" / "keys.json").read_text()
    assert PASSWORD not in kept
    assert ironflow("run", "list").code == 0
    assert ironflow("user", "list").code == 5

    assert ironflow("logout", "--everywhere").code == 0
    token = next(iter(json.loads(kept).values()))
    assert ironflow("run", "list", "--api-key", token).code == 5

    changed = ironflow("user", "update", made["id"], "--name", "Ada", *admin)
    assert "Ada" in changed.out
    assert "Ada" in ironflow("user", "get", made["id"], *admin).out
    type_in(monkeypatch, "another password\n")
    assert ironflow("user", "set-password", made["id"], *admin).code == 0
    assert ironflow("user", "end-sessions", made["id"], *admin).code == 0
    assert "disabled ada@" in ironflow("user", "disable", made["id"], "--reason", "left", *admin).out
    assert "left" in ironflow("user", "get", made["id"], *admin).out
    type_in(monkeypatch, "another password\n")
    assert ironflow("login", "--user", "ada@example.com").code == 5
    assert "enabled ada@" in ironflow("user", "enable", made["id"], *admin).out
    type_in(monkeypatch, "another password\n")
    assert ironflow("login", "--user", "ada@example.com").code == 0
    assert ironflow("user", "delete", made["id"], *admin).code == 2
    assert ironflow("user", "delete", made["id"], "--yes", *admin).code == 0
    assert ironflow("user", "get", made["id"], *admin).code == 4


def test_without_a_password_nothing_is_asked_of_the_server(
    ironflow, admin: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    type_in(monkeypatch, "")
    refused = ironflow("user", "create", "bob@example.com", *admin)
    assert refused.code == 2
    assert "standard input" in refused.err
