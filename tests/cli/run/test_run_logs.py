"""`ironflow run logs`: what a run wrote, once or as it comes."""

import msgspec
import pytest

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def failed(ironflow) -> str:
    (run_id,) = ironflow("emit", "visitor.refused", "--json").json["run_ids"]
    ironflow("run", "watch", run_id)
    return run_id


def test_the_lines_of_a_run_are_shown_with_their_steps(ironflow, failed):
    result = ironflow("run", "logs", failed)

    assert result.code == 0
    assert [line.split(maxsplit=5)[3:] for line in result.out.splitlines()] == [
        ["info", "-", "a visitor"],
        ["warn", "knock", 'the door does not open  {"door":7}'],
    ]


def test_a_level_and_a_step_select_lines(ironflow, failed):
    assert len(ironflow("run", "logs", failed, "--level", "warn").out.splitlines()) == 1
    assert len(ironflow("run", "logs", failed, "--step", "knock", "--json").json["lines"]) == 1
    assert ironflow("run", "logs", failed, "--level", "loud").code == 2


def test_a_run_that_has_ended_is_followed_to_its_end(ironflow, failed):
    result = ironflow("run", "logs", failed, "--follow", "--json")

    assert [msgspec.json.decode(line)["message"] for line in result.out.splitlines()] == [
        "a visitor",
        "the door does not open",
    ]


def test_pages_are_read_with_a_cursor(ironflow, failed):
    first = ironflow("run", "logs", failed, "--limit", "1", "--json").json
    second = ironflow("run", "logs", failed, "--cursor", first["next_cursor"], "--json").json

    assert [each["message"] for each in first["lines"] + second["lines"]] == ["a visitor", "the door does not open"]
    assert "There is more: --cursor 1.0" in ironflow("run", "logs", failed, "--limit", "1").err


def test_a_run_without_lines_is_shown_as_such(ironflow):
    (run_id,) = ironflow("emit", "visitor.arrived", "-d", '{"name": "ada"}', "--json").json["run_ids"]
    ironflow("run", "watch", run_id)

    result = ironflow("run", "logs", run_id)
    assert (result.code, result.out, result.err.strip()) == (0, "", "no lines")
