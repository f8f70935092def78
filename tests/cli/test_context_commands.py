"""`ironflow context` and `ironflow completion`."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ironflow.cli.app import run_command
from ironflow.cli.stored_contexts import place
from tests.cli.conftest import Result

pytestmark = pytest.mark.processes


@pytest.fixture
def ironflow(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command as typed, without an address of a server around it."""
    for name in ("IRONFLOW_SERVER_URL", "IRONFLOW_CONTEXT", "IRONFLOW_ENV"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = run_command(list(arguments))
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


def shown(ironflow, *options: str) -> dict[str, object]:
    return json.loads(ironflow("context", "show", "--json", *options).out)


def test_commands_go_to_the_current_context(ironflow, server: str):
    assert ironflow("context", "set", "here", server, "--use").code == 0
    assert ironflow("context", "set", "away", "https://flow.example/", "--environment", "eu").code == 0

    assert ironflow("kv", "buckets").code == 0
    assert shown(ironflow)["url"] == server
    assert ironflow("context", "use", "away").out.strip() == "commands go to https://flow.example, environment eu"
    assert shown(ironflow) == {
        "context": "away",
        "url": "https://flow.example",
        "environment": "eu",
        "logged_in": False,
    }
    assert shown(ironflow, "--env", "us")["environment"] == "us"
    assert shown(ironflow, "--context", "here")["url"] == server
    rows = json.loads(ironflow("context", "list", "--json").out)["contexts"]
    assert [(row["name"], row["current"]) for row in rows] == [("away", True), ("here", False)]


def test_the_file_is_the_users_alone(ironflow):
    ironflow("context", "set", "a", "http://a.example")

    file = Path(os.environ["IRONFLOW_CONFIG_DIR"]) / "contexts.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_address_goes_before_the_current_context_and_not_before_a_named_one(
    ironflow, monkeypatch: pytest.MonkeyPatch
):
    ironflow("context", "set", "a", "http://a.example", "--use")
    monkeypatch.setenv("IRONFLOW_SERVER_URL", "http://b.example")

    assert shown(ironflow)["url"] == "http://b.example"
    assert shown(ironflow, "--url", "http://c.example")["url"] == "http://c.example"
    assert shown(ironflow, "--context", "a")["url"] == "http://a.example"
    refused = ironflow("context", "show", "--context", "a", "--url", "http://c.example")
    assert (refused.code, "both name a server" in refused.err) == (2, True)


def test_a_deleted_context_is_no_longer_current(ironflow):
    ironflow("context", "set", "a", "http://a.example", "--use")
    ironflow("context", "delete", "a")

    assert place(None, None, None) == (None, None)
    refused = ironflow("context", "use", "a")
    assert (refused.code, "known: there is none yet" in refused.err) == (2, True)


def test_without_a_current_context_commands_go_to_the_local_server(ironflow):
    ironflow("context", "set", "a", "http://a.example", "--use")
    ironflow("context", "clear")

    assert place(None, "eu", None) == (None, "eu")


@pytest.mark.parametrize("address", ["flow.example", "ftp://flow.example", "http://", ""])
def test_what_is_no_address_is_refused(ironflow, address: str):
    refused = ironflow("context", "set", "a", address)

    assert (refused.code, "no address of a server" in refused.err) == (2, True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "completed"), [("ironflow ru", "run"), ("ironflow run wa", "watch"), ("ironflow emit --da", "--data")]
)
def test_bash_completes_commands_and_options(ironflow, tmp_path: Path, typed: str, completed: str):
    script = tmp_path / "completion"
    script.write_text(ironflow("completion", "bash").out)
    tokens = typed.split()
    command = f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(tokens) - 1}; _ironflow; echo ${{COMPREPLY[@]}}"

    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)

    assert completed in found.stdout.split()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_every_command(ironflow, shell: str):
    script = ironflow("completion", shell).out

    assert not [name for name in ("run", "projection", "webhook", "context") if name not in script]
