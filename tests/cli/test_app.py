"""The command tree, without a server."""

import re
from pathlib import Path

import msgspec
import pytest

from ironflow.base.version import VERSION
from ironflow.cli.app import COMMANDS, run_command
from ironflow.cli.worker.load import load_functions

NOWHERE = "http://127.0.0.1:9"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_help_lists_every_command_with_a_sentence(capsys):
    assert run_command(["--help"]) == 0

    shown = capsys.readouterr().out
    for name, _, _ in COMMANDS:
        assert f" {name} " in shown
    assert "Emit an event" in shown


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_every_command_has_help(capsys, name):
    assert run_command([name, "--help"]) == 0
    assert f"ironflow {name}" in capsys.readouterr().out


def test_no_character_of_a_help_text_is_rendered_as_markup():
    text = re.sub(r"`[^`]*`|^    .*$|<!--.*-->", "", REFERENCE.read_text(), flags=re.MULTILINE)

    # One star is shown; the text between two stars would be rendered in italics.
    assert [line for line in text.splitlines() if line.count("*") > 1 or re.search(r"<|(?<!\w)_", line)] == []


def test_the_version_is_shown_as_text_and_as_json(capsys):
    assert run_command(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"ironflow {VERSION} (Python ")

    assert run_command(["--json", "version"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["version"] == VERSION


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nonsense"], 'Unknown command "nonsense"'),
        (["run", "lisst"], 'Did you mean "list"?'),
        (["run", "get"], "See `ironflow run get --help`."),
        (["run", "list", "--stat", "failed"], "Did you mean --status?"),
        (["run", "list", "--status", "fine"], "'fine' is not a run status"),
        (["run", "list", "--limit", "many"], "many"),
        (["run", "list", "--since", "once"], "neither an age"),
        (["emit", "order.placed", "--data", "hello"], "needs its quotes"),
        (["emit", "order.placed", "--data"], "--data requires an argument"),
        (["emit", "order.placed", "--wait", "--timeout", "soon"], "'soon' is not a duration"),
        (["kv", "put", "b", "k", "v", "--create", "--if-revision", "3"], "exclude each other"),
        (["kv", "create-bucket", "b", "--max-bytes", "much"], "'much' is not a size"),
        (["worker", "app:functions", "--label", "eu"], "'eu' is not a label"),
        (["init"], "give the folder to write to, such as `ironflow init shop`"),
        (["dev", "nowhere.py"], "file 'nowhere.py' does not exist"),
        (["--url", "nonsense", "run", "list"], "is not the address of a server"),
    ],
)
def test_an_invalid_command_ends_with_2_and_one_clear_line(capsys, arguments, text):
    assert run_command(arguments) == 2

    result = capsys.readouterr()
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert text in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "list"], ["run", "get", "run_1"], ["run", "watch", "run_1"], ["event", "list"], ["function", "list"],
        ["kv", "buckets"], ["server", "health"], ["emit", "a.b", "--data", "1"], ["invoke", "f", "--wait"],
    ],
)  # fmt: skip
def test_an_unreachable_server_ends_with_3_and_shows_its_address(capsys, arguments):
    assert run_command([*arguments, "--url", NOWHERE]) == 3

    result = capsys.readouterr().err
    assert result.startswith(f"error: {NOWHERE} cannot be reached")
    assert result.count("\n") == 1


def test_with_json_an_error_is_json_on_standard_error(capsys):
    assert run_command(["run", "list", "--json", "--url", NOWHERE]) == 3

    result = capsys.readouterr()
    assert result.out == ""
    text = msgspec.json.decode(result.err)
    assert (text["code"], text["exit"]) == ("CONNECTION_LOST", 3)


def test_the_address_comes_from_the_environment_when_it_is_not_given(capsys, monkeypatch):
    monkeypatch.setenv("IRONFLOW_SERVER_URL", NOWHERE)

    assert run_command(["server", "health"]) == 3
    assert NOWHERE in capsys.readouterr().err


def test_init_writes_a_project_whose_function_can_be_loaded(capsys, folder):
    assert run_command(["init", "shop"]) == 0

    assert "ironflow dev app.py" in capsys.readouterr().out
    assert [each.id for each in load_functions("shop/app.py:functions")] == ["process-order"]


def test_init_overwrites_nothing(capsys, tmp_path):
    (tmp_path / "app.py").write_text("mine")

    assert run_command(["init", str(tmp_path)]) == 5

    assert "already contains app.py; nothing was written" in capsys.readouterr().err
    assert (tmp_path / "app.py").read_text() == "mine"
    assert not (tmp_path / "README.md").exists()
