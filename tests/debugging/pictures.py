"""`make pictures`: each tool of the guide "Debugging" on runs of a real server, as PNG files in docs/images.

python -m tests.debugging.pictures FOLDER
"""

import asyncio
import io
import linecache
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

import ironflow
from ironflow.cli.run.tui.app import InspectApp
from ironflow.debugging.dap.protocol import Frames, framed
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sync import Client
from ironflow.testing.server_process import ServerProcess
from tests.dashboard.browser import chromium_browser
from tests.support.waiting import eventually

HERE = Path(__file__).parent / "pictured"
SOURCE = (HERE / "orders.py").read_text()
# Where the pictures show it.
FILE = "/app/orders.py"
IRONFLOW = [sys.executable, "-m", "ironflow"]
COLUMNS = 100
PAUSES = 200


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        server = ServerProcess(Path(data))
        try:
            with server.worker([process_order()]), Client(server.url) as client:
                failed, waiting = runs(client)
                drawn = {
                    "inspect": asyncio.run(inspected(server.url, failed)),
                    "debug-adapter": adapter_session(server.url, failed),
                    "replay": printed(server.url, "replay", failed, "orders_renamed.py"),
                    "run-get": printed(server.url, "run", "get", failed),
                    "run-why": printed(server.url, "run", "why", waiting),
                    "run-logs": printed(server.url, "run", "logs", completed(client)),
                }
        finally:
            server.stop()
    with chromium_browser() as browser:
        for name, svg in drawn.items():
            save(browser, svg, folder / f"debugging-{name}.png")


def process_order() -> FunctionDefinition:
    """The function of `orders.py`, as if it were at FILE."""
    linecache.cache[FILE] = (len(SOURCE), None, SOURCE.splitlines(keepends=True), FILE)
    names: dict[str, Any] = {"__name__": "orders"}
    exec(compile(SOURCE, FILE, "exec"), names)
    return names["process_order"]


def runs(client: Client) -> tuple[str, str]:
    """A run that has failed, and one that waits for an event."""
    failed = client.emit("order.placed", {"guests": 2, "total": 13}).run_ids[0]
    waiting = client.emit("order.placed", {"guests": 9, "total": 5_000}).run_ids[0]
    eventually(lambda: client.runs.get(failed).status == "failed")
    eventually(lambda: client.runs.get(waiting).status == "paused")
    return failed, waiting


def completed(client: Client) -> str:
    run = client.emit("order.placed", {"guests": 2, "total": 70}).run_ids[0]
    eventually(lambda: client.runs.get(run).status == "completed")
    return run


# The tools ------------------------------------------------------------------------------------------------------------


async def inspected(url: str, run_id: str) -> str:
    """The full screen at the failure of the run."""
    async with ironflow.Client(url) as client:
        app = InspectApp(client.call, run_id)
        async with app.run_test(size=(COLUMNS, 16)) as pilot:
            for key, shown in (("", "✗ charge"), ("f", "card declined")):
                if key:
                    await pilot.press(key)
                for _ in range(PAUSES):
                    strips = app.screen._compositor.render_strips()  # pyright: ignore[reportPrivateUsage]
                    if any(shown in strip.text for strip in strips):
                        break
                    await pilot.pause(0.05)
            return app.export_screenshot(title="ironflow inspect")


def printed(url: str, *command: str) -> str:
    """What a command prints, below the command."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "IRONFLOW_SERVER_URL": url}
    done = subprocess.run([*IRONFLOW, *command], cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    line = Text(f"$ ironflow {' '.join(command)}", style="bold")
    return picture(Group(line, Text.from_ansi(done.stdout + done.stderr)), "Terminal")


def adapter_session(url: str, run_id: str) -> str:
    """A session with a breakpoint on a line, drawn as an editor shows the answers."""
    with adapter(url) as ask:
        ask("initialize", adapterID="ironflow")
        ask("launch", run=run_id)
        line = next(number for number, text in enumerate(SOURCE.splitlines(), 1) if '"charge", charge' in text)
        ask("setBreakpoints", source={"path": FILE}, breakpoints=[{"line": line}])
        ask("configurationDone")
        ask("continue", threadId=1)
        frames = ask("stackTrace", threadId=1)["stackFrames"]
        scopes = ask("scopes", frameId=frames[0]["id"])["scopes"]
        shown: list[RenderableType] = []
        for scope in scopes:
            reference = scope["variablesReference"]
            if scope["name"] in ("Step", "Outputs", "Event") and reference:
                shown.append(Text(scope["name"], style="bold"))
                variables = ask("variables", variablesReference=reference)["variables"]
                lines = (f"  {each['name']}: {each['value']}" for each in variables)
                shown += [Text(each, overflow="ellipsis", no_wrap=True) for each in lines]
        expression = "outputs.reserve.table"
        value = ask("evaluate", expression=expression, frameId=frames[0]["id"])["result"]
    at = frames[0]["line"]
    marks = Text("\n".join("●" if number == line else " " for number in range(1, SOURCE.count("\n") + 1)), style="red")
    source = Table.grid(padding=(0, 1))
    source.add_row(marks, Syntax(SOURCE, "python", theme="ansi_dark", line_numbers=True, highlight_lines={at}))
    stack = Text("\n".join(f"{each['name']}  {each['source']['name']}:{each['line']}" for each in frames))
    layout = Table.grid(expand=True)
    layout.add_column(ratio=3)
    layout.add_column(ratio=2)
    right = Group(
        Panel(stack, title="CALL STACK", title_align="left"),
        Panel(Group(*shown), title="VARIABLES", title_align="left"),
        Panel(Text(f"> {expression}\n{value}"), title="DEBUG CONSOLE", title_align="left"),
    )
    layout.add_row(Panel(source, title="orders.py", title_align="left"), right)
    return picture(layout, "ironflow debug-adapter, as an editor shows it", 132)


@contextmanager
def adapter(url: str) -> Iterator[Any]:
    """Asks an adapter of its own; the answers' bodies."""
    command = [*IRONFLOW, "debug-adapter", "--port", "0", "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            host, _, port = process.stdout.readline().decode().split()[-1].partition(":")
            with socket.create_connection((host, int(port)), timeout=20) as peer:
                frames = Frames()

                def ask(command: str, **arguments: Any) -> Any:
                    peer.sendall(framed({"seq": 1, "type": "request", "command": command, "arguments": arguments}))
                    while True:
                        for message in frames.feed(peer.recv(65536)):
                            if isinstance(message, dict) and message["type"] == "response":
                                assert message["success"], message
                                return message["body"]

                yield ask
        finally:
            process.kill()


# Drawing --------------------------------------------------------------------------------------------------------------


def picture(content: RenderableType, title: str, width: int = COLUMNS) -> str:
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(content)
    return console.export_svg(title=title)


def save(browser: Browser, svg: str, path: Path) -> None:
    """A PNG of the drawing, with the fixed-width font of this machine."""
    plain = re.sub(r"@font-\w+\s*\{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.set_content(f"<style>body {{ margin: 0 }} svg {{ width: 1100px; display: block }}</style>{plain}")
    page.locator("svg").first.screenshot(path=path)
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
