"""The guide's commands, run one after another against a server, and its code."""

import re
import shlex
from pathlib import Path

import pytest

from ironflow.cli.app import run_command
from ironflow.cli.process import start_server
from ironflow.sync import Client

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "webhooks.md").read_text()


@pytest.mark.processes
def test_the_commands_of_the_guide_do_what_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    commands = [
        shlex.split(line)[1:]
        for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) > 8
    with (tmp_path / "log").open("wb") as log:
        server, url = start_server(["--dev", "--port", "0", "--db", str(tmp_path / "x.db")], output=log)
    token = ""
    try:
        for command in commands:
            capsys.readouterr()
            filled = [token if each == "$TOKEN" else each for each in command]
            code = run_command([*filled, "--url", url])
            shown = capsys.readouterr()
            assert code == 0, (command, shown.err)
            if command[:3] == ["webhook", "create", "github"]:
                token = re.findall(r"ifwh_[0-9a-f]{64}", shown.err + shown.out)[0]
        with Client(url) as client:
            assert [event.name for event in client.events.list()] == ["github.push"]
    finally:
        server.stop()


def test_the_code_of_the_guide_is_sound():
    known: dict[str, object] = {"__name__": "guide"}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "webhooks.md", "exec"), known)
