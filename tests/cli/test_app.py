"""The command tree as a user meets it, without a server."""

import re
from pathlib import Path

import msgspec
import pytest

from ironflow.base.version import VERSION
from ironflow.cli.app import COMMANDS, run_command
from ironflow.cli.load import load_functions

NOWHERE = "http://127.0.0.1:9"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_help_lists_every_command_with_a_sentence(capsys):
    assert run_command(["--help"]) == 0

    shown = capsys.readouterr().out
    for name, _ in COMMANDS:
        assert f" {name} " in shown
    assert "Emit an event" in shown


@pytest.mark.parametrize("name", [name for name, _ in COMMANDS])
def test_every_command_has_help(capsys, name):
    assert run_command([name, "--help"]) == 0
    assert f"ironflow {name}" in capsys.readouterr().out


def test_no_sign_in_a_help_text_is_taken_for_markup():
    text = re.sub(r"`[^`]*`|^    .*$|<!--.*-->", "", REFERENCE.read_text(), flags=re.MULTILINE)

    # One star is a star; two make what is between them slanted, and are gone.
    assert [line for line in text.splitlines() if line.count("*") > 1 or re.search(r"<|(?<!\w)_", line)] == []


def test_the_version_is_shown_to_people_and_programs(capsys):
    assert run_command(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"ironflow {VERSION} (Python ")

    assert run_command(["--json", "version"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["version"] == VERSION


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], 'Unknown command "nonsense"'),
        (["run", "lisst"], 'Did you mean "list"?'),
        (["run", "get"], "See `ironflow run get --help`."),
        (["run", "list", "--stat", "failed"], "Did you mean --status?"),
        (["run", "list", "--status", "fine"], "'fine' is no status of a run"),
        (["run", "list", "--limit", "many"], "many"),
        (["run", "list", "--since", "once"], "neither an age"),
        (["emit", "order.placed", "--data", "hello"], "with its quotes"),
        (["emit", "order.placed", "--data"], "--data requires an argument"),
        (["emit", "order.placed", "--wait", "--timeout", "soon"], "'soon' is not a duration"),
        (["kv", "put", "b", "k", "v", "--create", "--if-revision", "3"], "exclude each other"),
        (["kv", "create-bucket", "b", "--max-bytes", "much"], "'much' is not a size"),
        (["worker", "app:functions", "--label", "eu"], "'eu' is not a label"),
        (["dev", "nowhere.py"], "there is no file 'nowhere.py'"),
        (["--url", "nonsense", "run", "list"], "is not the address of a server"),
    ],
)
def test_a_command_that_cannot_be_understood_ends_with_2_and_one_clear_line(capsys, words, said):
    assert run_command(words) == 2

    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.startswith("error: ")
    assert said in heard.err
    assert heard.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["run", "list"], ["run", "get", "run_1"], ["run", "watch", "run_1"], ["event", "list"], ["function", "list"],
        ["kv", "buckets"], ["server", "health"], ["emit", "a.b", "--data", "1"], ["invoke", "f", "--wait"],
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_reached_ends_with_3_and_says_where_it_was_sought(capsys, words):
    assert run_command([*words, "--url", NOWHERE]) == 3

    heard = capsys.readouterr().err
    assert heard.startswith(f"error: {NOWHERE} cannot be reached")
    assert heard.count("\n") == 1


def test_programs_get_the_error_as_json_on_standard_error(capsys):
    assert run_command(["run", "list", "--json", "--url", NOWHERE]) == 3

    heard = capsys.readouterr()
    assert heard.out == ""
    said = msgspec.json.decode(heard.err)
    assert (said["code"], said["exit"]) == ("CONNECTION_LOST", 3)


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

    assert "has app.py already; nothing was written" in capsys.readouterr().err
    assert (tmp_path / "app.py").read_text() == "mine"
    assert not (tmp_path / "README.md").exists()
