"""`ironflow login` and `logout`, against a server that was started without --dev."""

import io
import stat
import sys
from pathlib import Path

import pytest

from tests.cli.guarded import Guarded, guarded, key_of, server

__all__ = ["guarded", "server"]

pytestmark = pytest.mark.processes


@pytest.fixture
def key_file(guarded: Guarded) -> Path:
    return guarded.key_file


def test_a_server_demands_keys_by_default_and_its_first_key_is_in_a_file_for_the_operator(ironflow, key_file: Path):
    refused = ironflow("run", "list")
    assert refused.code == 5
    assert "ironflow login" in refused.err
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    log = (key_file.parent / "log").read_text()
    assert key_file.name in log
    assert "ifkey_" not in log


def test_a_key_is_tried_stored_for_its_server_only_and_forgotten(ironflow, key_file: Path, tmp_path: Path):
    stored = ironflow("login", "--key-file", str(key_file))
    assert (stored.code, "ifkey_" in stored.out) == (0, False)
    file = tmp_path / "settings" / "keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ironflow("run", "list").code == 0
    assert ironflow("run", "list", "--api-key", "ifkey_wrong").code == 5

    assert ironflow("logout").code == 0
    assert "there was no key" in ironflow("logout").out
    assert ironflow("run", "list").code == 5


def test_a_key_comes_from_standard_input_and_a_wrong_one_is_not_stored(
    ironflow, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ifkey_wrong\n")))
    assert ironflow("login").code == 5
    assert not (tmp_path / "settings").exists()

    made = ironflow("apikey", "create", "me", "--role", "role_viewer", "--api-key", key_of(key_file)).out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made.encode())))
    assert ironflow("login").code == 0
    assert ironflow("run", "list").code == 0
