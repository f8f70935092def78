"""A server that is killed and started again on its port and file, and a program of a page that uses it meanwhile."""

import ast
import itertools
import json
import os
import re
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ironflow.sync import Client
from tests.crash.processes import PATHS, Process, reserved_port
from tests.support.waiting import eventually
from tests.wire.server_process import Server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WITHIN_S = 60.0


def block(page: str, containing: str = "") -> str:
    """The first Python block of the page with that text, unchanged."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return next(each for each in blocks if containing in each)


def command(page: str, beginning: str) -> list[str]:
    """The arguments of the first `ironflow` command of the page that begins so."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    lines = [line for each in blocks for line in each.splitlines()]
    return shlex.split(next(line for line in lines if line.startswith(f"ironflow {beginning}")), comments=True)[1:]


def in_main(code: str, before: str = "") -> str:
    """A program whose main function is `before` and then the code of a page that awaits at its top level."""
    lines = [*before.splitlines(), *code.splitlines()]
    body = "\n".join(f"    {line}" for line in lines)
    return f"import asyncio\nimport ironflow\n\n\nasync def main():\n{body}\n\n\nasyncio.run(main())\n"


async def run_block(code: str, **names: Any) -> None:
    """Runs the code of a page that awaits at its top level; the values of `names` are known to it."""
    await eval(compile(code, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)


class RestartedServer:
    """A server that keeps its port and its SQLite file when it is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        self._reservation, port = reserved_port()
        self.url = f"http://127.0.0.1:{port}"
        # An address of the same kind for a program that listens.
        self._other_reservation, self.other_port = reserved_port()
        self._settings = {
            "IRONFLOW_DB": str(folder / "ironflow.db"),
            "IRONFLOW_PORT": str(port),
            "IRONFLOW_DEV": "true",
            # A job whose answer was lost with the server comes again after this, and no test waits for the default.
            "IRONFLOW_LEASE_MS": "10000",
            "IRONFLOW_RESERVATION_MS": "5000",
        }
        self._process: Process | None = None

    def start(self) -> None:
        self._number += 1
        folder = self._folder / f"server-{self._number}"
        folder.mkdir()
        self._process = Process("server", ["ironflow.server.run"], folder, self._settings)
        Server(self._process)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        self.kill()
        self._reservation.close()
        self._other_reservation.close()


class Scene:
    """A program of a page in an environment of its own, and a client of the same environment.

    recorded: what the program has recorded, see `recording`. output: the lines it has printed.
    """

    def __init__(self, server: RestartedServer, client: Client, folder: Path) -> None:
        self.server, self.client, self.folder = server, client, folder
        self.record = folder / "record"
        self._programs: list[Process] = []

    def start(self, arguments: Sequence[str], environment: str, name: str = "program", **more: str) -> None:
        """`python -m ARGUMENTS…` in that environment; the modules of the folder can be imported."""
        settings = {
            "IRONFLOW_SERVER_URL": self.server.url,
            "IRONFLOW_ENV": environment,
            "RECORD": str(self.record),
            "PYTHONUNBUFFERED": "1",
            "HOST": "here",
            "PYTHONPATH": os.pathsep.join([str(self.folder), *PATHS]),
            **more,
        }
        self._programs.append(Process(name, arguments, self.folder, settings))

    @property
    def recorded(self) -> list[list[Any]]:
        if not self.record.exists():
            return []
        # The last line may be under way.
        return [json.loads(line) for line in self.record.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def calls(self, name: str) -> list[Any]:
        """The first argument of each recorded call of that name."""
        return [each[1] if len(each) > 1 else None for each in self.recorded if each[0] == name]

    @property
    def output(self) -> list[str]:
        return [line for each in self._programs for line in each.output.read_text().splitlines()]

    def until(self, holds: Callable[[], bool]) -> None:
        """Returns when it holds. Raises AssertionError when a program has ended or it does not hold in time."""
        try:
            eventually(lambda: self._alive() and holds(), WITHIN_S)
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{self.recorded[-20:]}\n{self.output[-20:]}\n{self.log}") from None

    def serves(self, *functions: str) -> None:
        """Returns when the functions of the program are registered."""
        self.until(lambda: {*functions} <= {each.id for each in self.client.functions.list()})

    def listens(self) -> None:
        """Returns when the program accepts connections."""

        def accepted() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.server.other_port)) == 0

        self.until(accepted)

    def sent_until(self, send: Callable[[int], object], received: Callable[[], bool]) -> None:
        """Sends numbers from 1000 until a program that follows from now on has received one."""
        numbers = itertools.count(1000)

        def sent() -> bool:
            send(next(numbers))
            return received()

        self.until(sent)

    def completed(self, runs: Sequence[str]) -> list[Any]:
        """The outputs of the runs, once all are completed."""
        self.until(lambda: all(self.client.runs.get(each).status in {"completed", "failed"} for each in runs))
        found = [self.client.runs.get(each) for each in runs]
        assert [each.error for each in found] == [None] * len(runs)
        return [each.output for each in found]

    def steps(self, run: str) -> list[str]:
        return [step.name for step in self.client.runs.steps(run)]

    def check_undisturbed(self) -> None:
        """The programs still run, and none has shown a traceback."""
        assert self._alive(), self.log
        assert "Traceback" not in "\n".join(self.output) + self.log

    def close(self) -> None:
        for each in self._programs:
            each.kill()

    def _alive(self) -> bool:
        assert all(each.exit_code is None for each in self._programs), "the program has ended"
        return True

    @property
    def log(self) -> str:
        """The end of what the programs have logged."""
        return "\n".join(each.log.read_text() for each in self._programs)


# Sends the first half of the work, yields when the server is to be killed and started again, sends the other half,
# and checks the outcome.
Story = Callable[[Scene], Iterator[None]]
