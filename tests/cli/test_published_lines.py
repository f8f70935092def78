"""Every published command line is taken, or refused in a sentence. Source: protocol/operating.md 1."""

import io
import shlex
import sys
from pathlib import Path

import pytest

from ironflow.sync import Client
from tests.cli.published_lines import LINES
from tests.cli.run.test_inspect import work
from tests.support.waiting import eventually

FILES = {
    "visitor": '{"name": "ada"}',
    "numbers": "[1, 2]",
    "object": "{}",
    "schema": '{"type": "object"}',
    "table": "CREATE TABLE proj_filed (name TEXT)",
    "batch": '[{"name": "published", "min_seq": 1}]',
}


class Standard:
    """Standard input with the given text."""

    def __init__(self, text: str) -> None:
        self.buffer = io.BytesIO(text.encode())

    def isatty(self) -> bool:
        return False


@pytest.mark.processes
def test_every_published_line_is_taken_or_refused_in_a_sentence(ironflow, worker, folder: Path, monkeypatch):
    filled = _filled(ironflow, worker, folder)
    wrong: list[str] = []
    for line in LINES:
        tokens = shlex.split(line.text.format_map(filled))
        monkeypatch.setattr(sys, "stdin", Standard(line.stdin))
        result = ironflow(*tokens)
        refusal = result.err.strip().splitlines()
        if result.code != line.code or line.sentence not in result.err or (line.sentence and len(refusal) != 1):
            wrong.append(f"{line.text}: {result.code}, {result.err.strip()[:300]}")
        for noun in ("apikey", "role", "policy"):
            if line.text.startswith(f"{noun} create"):
                filled["key" if noun == "apikey" else noun] = _newest(ironflow, noun)
    assert wrong == []


def _filled(ironflow, server: str, folder: Path) -> dict[str, str]:
    """Files, and the ids of what the lines are about."""
    filled = {}
    for name, text in FILES.items():
        path = folder / f"{name}.json"
        path.write_text(text)
        filled[name] = str(path)
    done = ironflow("emit", "visitor.arrived", "--data", '{"name": "grace"}', "--wait", "--json").json
    filled["event"], filled["run"] = done["event_id"], done["results"][0]["run_id"]
    filled["step"] = ironflow("run", "get", filled["run"], "--json").json["steps"][0]["id"]
    with Client(server) as client:
        filled["recorded"] = work(client, "published", patch=False, recording=True)
    filled["failed"] = _run(ironflow, "visitor.refused", "{}")
    asked = ironflow("emit", "visitor.asked", "--data", '{"door": "published"}', "--json").json
    filled["waiting"] = asked["run_ids"][0]
    eventually(lambda: ironflow("run", "get", filled["waiting"], "--json").json["status"] == "paused")
    ironflow("emit", "visitor.moved", "--data", '{"visitor": "published"}')
    entries = ironflow("debounce", "list", "--json").json["entries"]
    filled["lane_key"] = next(each["key"] for each in entries if "published" in each["key"])
    return filled


def _run(ironflow, event: str, data: str) -> str:
    return ironflow("emit", event, "--data", data, "--wait", "--json").json["results"][0]["run_id"]


def _newest(ironflow, noun: str) -> str:
    found = ironflow(noun, "list", "--json").json
    rows = found if isinstance(found, list) else next(each for each in found.values() if isinstance(each, list))
    named = {"apikey": "published", "role": "clerk", "policy": "readers"}[noun]
    return next(each["id"] for each in rows if each["name"] == named)
