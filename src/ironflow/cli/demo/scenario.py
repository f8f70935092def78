"""`python -m ironflow.cli.demo`: real processes, 240 orders, one `kill -9`, and a count of the steps."""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ironflow.base.duration import duration_ms
from ironflow.base.errors import DeadlineExceeded, IronflowError, NotFound, Unavailable
from ironflow.base.json import Json
from ironflow.cli.demo.report import report
from ironflow.cli.demo.tally import CalledOutside, Recorded, outlived, recorded_steps, tally
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli
from ironflow.cli.process import Child, Interruption, interruptible, start_server
from ironflow.cli.terminal.output import draw
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run, RunStatus

app = App("ironflow-demo", help_format="plaintext", version_flags=(), suppress_keyboard_interrupt=False)

QUICKSTART = Path(__file__).parents[4] / "examples" / "quickstart"
ENDED = [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED]
_KILL_AT = 0.4
_LOOK_EVERY_S = 0.1
_TIMEOUT_S = 55.0
_HOPELESS_CARD = "tok_processor_down"


class _Order(msgspec.Struct):
    id: str
    card: str


@dataclass(slots=True)
class Scene:
    """The processes and files of one demo."""

    folder: Path
    quickstart: Path
    url: str
    log: IO[bytes]
    server: Child
    cli: Cli
    ends_at: float
    interruption: Interruption
    workers: list[Child] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)

    @property
    def records(self) -> Path:
        return self.folder / "outside"

    def start_worker(self) -> Child:
        child = Child(
            ["worker", "app.py:functions"],
            folder=self.quickstart,
            output=self.log,
            environment={"IRONFLOW_SERVER_URL": self.url, "QUICKSTART_RECORDS": str(self.records)},
        )
        self.workers.append(child)
        return child

    def pause(self) -> None:
        """Waits a moment.

        Raises DeadlineExceeded when the demo takes too long, Unavailable when a process ended, Interrupted.
        """
        self.interruption.check()
        if time.monotonic() > self.ends_at:
            raise DeadlineExceeded(f"the demo did not finish within {_TIMEOUT_S:g} s.")
        for name, child in (("server", self.server), ("worker", self.workers[-1])):
            if child.exit_code is not None:
                raise Unavailable(f"the {name} ended by itself with exit code {child.exit_code}.")
        time.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.cli.close()


@app.default
def demo(
    *,
    orders: int = 240,
    folder: Path | None = None,
    quickstart: Annotated[Path, Parameter(show_default=False)] = QUICKSTART,
    lease: str = "2s",
) -> Exit:
    """Send orders to a durable function, kill its worker half-way, and count the executed steps.

    Args:
        orders: Number of orders of the quickstart to send.
        folder: Folder of the database and the logs. Default: a new temporary folder.
        quickstart: The folder of the quickstart.
        lease: Time after which a silent worker loses its runs.
    """
    placed = read_orders(quickstart, orders)
    directory = folder or Path(tempfile.mkdtemp(prefix="ironflow-demo-"))
    cli = Cli()
    with ExitStack() as stack:
        interruption = stack.enter_context(interruptible())
        log = stack.enter_context((directory / "processes.log").open("wb"))
        try:
            cli.note(f"Ironflow demo: {len(placed)} orders, three steps each, one kill -9 in the middle\n", "bold")
            arguments = ["--dev", "--port", "0", "--db", str(directory / "demo.db")]
            # Below what `--lease` takes; the steps of its orders are shorter.
            short = {"IRONFLOW_LEASE_MS": str(duration_ms(lease))}
            server, url = start_server(arguments, output=log, environment=short)
            stack.callback(server.stop)
            cli.note(f"server    {url}  pid {server.pid}")
            ends_at = time.monotonic() + _TIMEOUT_S
            scene = Scene(directory, quickstart, url, log, server, Cli(url=url), ends_at, interruption)
            stack.callback(scene.close)
            return _play(scene, cli, placed)
        except IronflowError:
            cli.note(f"The last lines of {directory / 'processes.log'}:\n{_tail(directory / 'processes.log')}", "dim")
            raise


def _play(scene: Scene, cli: Cli, placed: Mapping[str, tuple[Json, _Order]]) -> Exit:
    worker = scene.start_worker()
    cli.note(f"worker    pid {worker.pid}, {scene.quickstart.name}/app.py")
    _await_function(scene)
    with _progress(cli.err) as bars:
        emitted = _emit_all(scene, placed, bars)
        at_kill = _follow(scene, cli, len(placed), bars)
    found = list(_all_runs(scene.cli))
    steps = {run.id: scene.cli.call(runs.steps, runs.GetRunSteps(run_id=run.id)).steps for run in found}
    # A running worker could append to the journal while it is counted.
    scene.close()
    calls = read_calls(scene.records)
    counted = tally(
        emitted,
        found,
        steps,
        calls,
        recorded_at_kill=at_kill,
        killed=scene.killed,
        hopeless=sum(order.card == _HOPELESS_CARD for _, order in placed.values()),
    )
    draw(cli.out, report(counted, found, steps, outlived(calls, scene.killed), scene.folder / "demo.db"))
    return Exit.FAILED if counted.wrong else Exit.OK


def read_orders(quickstart: Path, limit: int) -> dict[str, tuple[Json, _Order]]:
    """The first `limit` orders of the quickstart by id, each as it is written and decoded. Raises UsageError."""
    try:
        lines = (quickstart / "orders.jsonl").read_bytes().splitlines()
    except OSError as fault:
        raise UsageError(f"{quickstart} holds no quickstart: {fault.strerror}. Run the demo from a checkout.") from None
    decoded = [(Json(line), msgspec.json.decode(line, type=_Order)) for line in lines[:limit]]
    return {order.id: (line, order) for line, order in decoded}


def read_calls(records: Path) -> list[CalledOutside]:
    """The journal that the step bodies wrote; an incomplete last line is left out."""
    decoder = msgspec.json.Decoder(CalledOutside)
    lines = (records / "calls.jsonl").read_bytes().split(b"\n")
    return [decoder.decode(line) for line in lines if line.endswith(b"}")]


def _await_function(scene: Scene) -> None:
    """Returns when the worker has registered the function: an order emitted before would start no run."""
    while True:
        try:
            scene.cli.call(functions.get, functions.GetFunction(id="process-order"))
        except NotFound:
            scene.pause()
        else:
            return


def _emit_all(scene: Scene, placed: Mapping[str, tuple[Json, _Order]], bars: Progress) -> dict[str, Sequence[str]]:
    """Emits every order; returns the ids of the runs that each one started."""
    bar = bars.add_task("orders emitted", total=len(placed))
    emitted: dict[str, Sequence[str]] = {}
    for order_id, (line, _) in placed.items():
        sent = scene.cli.call(events.emit, events.Emit(event="order.placed", data=line, idempotency_key=order_id))
        emitted[order_id] = sent.run_ids
        bars.advance(bar)
    return emitted


def _follow(scene: Scene, cli: Cli, total: int, bars: Progress) -> Recorded:
    """Waits until all runs have ended and kills the worker meanwhile. Returns the steps recorded at the kill."""
    bar = bars.add_task("runs ended", total=total)
    at_kill: Recorded = frozenset()
    while (ended := _count(scene.cli, ENDED)) < total:
        bars.update(bar, completed=ended)
        if not scene.killed and ended >= total * _KILL_AT:
            at_kill = _kill_worker(scene, cli)
        scene.pause()
    bars.update(bar, completed=ended)
    return at_kill


def _kill_worker(scene: Scene, cli: Cli) -> Recorded:
    """Kills the worker, reads the recorded steps from the server, and starts another worker."""
    victim = scene.workers[-1]
    victim.kill()
    scene.killed.append(victim.pid)
    running = _count(scene.cli, [RunStatus.RUNNING])
    steps = {run.id: scene.cli.call(runs.steps, runs.GetRunSteps(run_id=run.id)).steps for run in _all_runs(scene.cli)}
    successor = scene.start_worker()
    cli.note(f"kill -9   pid {victim.pid} while it held {running} runs; pid {successor.pid} takes over")
    return recorded_steps(steps)


def _count(cli: Cli, statuses: list[RunStatus]) -> int:
    return cli.call(runs.list_, runs.ListRuns(statuses=statuses, limit=1)).total_count or 0


def _all_runs(cli: Cli) -> Iterator[Run]:
    cursor = ""
    while True:
        page = cli.call(runs.list_, runs.ListRuns(limit=200, cursor=cursor))
        yield from page.runs
        if not page.next_cursor:
            return
        cursor = page.next_cursor


@contextmanager
def _progress(terminal: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description:<15}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=terminal, disable=not terminal.is_terminal)
    with bars:
        yield bars


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def main() -> None:
    """Runs the demo and ends the process with its exit code."""
    from ironflow.cli.app import guarded

    sys.exit(guarded(lambda: app(result_action="return_value", exit_on_error=False, print_error=False), sys.argv[1:]))
