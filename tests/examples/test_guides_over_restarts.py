"""The long-lived programs of the guides go on when the server is killed and started again, as if nothing had happened.

Each program is the code or the command of its page, unchanged; what the page leaves open (`charge`, `send_mail`) is
given here and records its calls.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from ironflow.cli.app import run_command
from ironflow.sync import Client
from tests.examples import stories
from tests.examples.restarts import ROOT, RestartedServer, Scene, Story, block, command, in_main

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Row:
    """page: of `docs`. program: its file, or the arguments of a command. story: what is sent and what must come of it.

    plain, awaited: names that the page leaves open, which record their calls. worker: its functions are served by
    `ironflow worker` with these options. beside: another file of the program's folder. before: the beginning of a
    command of the page that is run first.
    """

    page: str
    story: Story
    program: str | list[str] = ""
    plain: str = ""
    awaited: str = ""
    worker: bool = False
    options: tuple[str, ...] = ()
    beside: tuple[str, str] = ("", "")
    before: str = ""


def guide(name: str, *parts: str) -> str:
    return "\n\n".join(block(f"guides/{name}.md", part) for part in parts or [""])


def as_main(code: str, call: str) -> str:
    return f"import asyncio\n\n{code}\n\nasyncio.run({call})\n"


GREETING = ("greeting.py", guide("workers", "@function"))
GREET = "from greeting import greet\nimport greeting\n\ngreeting.send_mail = send_mail\n"
IN_A_PROGRAM = "from ironflow.worker import Worker\nsomething_else = asyncio.Event().wait\n"
SCHEDULED = ("report", "poll", "launch")
RECORDED = "from tests.examples.recording import watched\n"
FOLLOW_STREAM = "async def main():\n    async with ironflow.Client() as client:\n        await follow(client)\n"
WEBHOOK_APPLICATION = """
from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.post("/webhooks/shop")
async def take(request: Request):
    status, body = await handle("POST", dict(request.headers), await request.body())
    return Response(str(body), status)
"""
# Does what an EventSource of a web page does: it connects again and continues after the last event.
EVENT_SOURCE = """
import http.client, os, time, urllib.request

url = os.environ["IRONFLOW_SERVER_URL"] + "/api/v1/subscribe?pattern=order.%3E&replay=5"
headers = {"X-Ironflow-Environment": os.environ["IRONFLOW_ENV"]}
while True:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as stream:
            for line in stream:
                field, _, value = line.decode().rstrip().partition(":")
                if field == "id":
                    headers["Last-Event-ID"] = value.strip()
                if field == "data":
                    print(value)
    except (OSError, http.client.HTTPException):
        time.sleep(0.1)
"""
# Encoding goes on until the file `finish` is there.
MEDIA = """
import pathlib, time
from tests.examples.recording import record

download = str

def encode(path):
    record("encoding", path)
    while not (pathlib.Path(__file__).parent / "finish").exists():
        time.sleep(0.02)
    return path.upper()
"""
BILL = "async def main():\n    async with Client() as client:\n        await bill_orders(client)\n"

ROWS = {
    "workers": Row("guides/workers.md", stories.greetings, guide("workers", "@function"), "send_mail"),
    "workers-streaming": Row(
        "guides/workers.md",
        stories.greetings,
        GREET + guide("workers", "StreamingWorker"),
        "send_mail",
        beside=GREETING,
    ),
    "workers-in-a-program": Row(
        "guides/workers.md",
        stories.greetings,
        as_main(IN_A_PROGRAM + GREET + guide("workers", "async def main"), "main()"),
        "send_mail",
        beside=GREETING,
    ),
    "functions-and-steps": Row(
        "guides/functions-and-steps.md",
        stories.orders,
        guide("functions-and-steps", "process_order", "nightly_report", "def pay(", "close_order"),
        "charge_card ship query_sales send_report send_mail",
        worker=True,
    ),
    "waiting-for-events": Row(
        "guides/waiting-for-events.md",
        stories.waits,
        guide("waiting-for-events", "pay_invoice", "collect_votes", "wait_any"),
        "pay",
        worker=True,
    ),
    "run-messages": Row("guides/run-messages.md", stories.chat, guide("run-messages", "think"), "think", worker=True),
    "restarting-runs": Row("guides/restarting-runs.md", stories.long_chat, guide("restarting-runs"), worker=True),
    "run-values": Row("guides/run-values.md", stories.packing, guide("run-values"), "pack", worker=True),
    "run-keys": Row("guides/run-keys.md", stories.keys, guide("run-keys", "fulfil"), worker=True),
    "handles": Row(
        "guides/handles.md",
        stories.imports,
        "from ironflow import Context, function\n\n"
        + guide("handles")
        + '\n\n@function("index")\ndef index(ctx, page):\n    return read(page) and page\n',
        "announce read",
        worker=True,
    ),
    "entities": Row("guides/entities.md", stories.payments, guide("entities", "payment = entity"), "authorize"),
    "host-bound-work": Row(
        "guides/host-bound-work.md",
        stories.films,
        guide("host-bound-work", "make_film"),
        worker=True,
        beside=("media.py", MEDIA),
        options=("--label", "disk=fast"),
    ),
    "schedules": Row(
        "guides/schedules.md",
        stories.schedules,
        "from ironflow import function\n\n\n"
        + "\n".join(
            f'@function("{each}")\ndef {each}(ctx, data):\n    return data\n' for each in ("report", "poll", "launch")
        ),
        worker=True,
    ),
    "consumer-groups": Row(
        "guides/consumer-groups.md",
        stories.billing,
        in_main(guide("consumer-groups", "Hopeless"), "class Busy(Exception): ...\nclass Hopeless(Exception): ..."),
        awaited="charge",
        before="group create",
    ),
    "consumer-groups-program": Row(
        "guides/consumer-groups.md",
        stories.billing,
        guide("consumer-groups", "consume"),
        awaited="charge",
        before="group create",
    ),
    "tracing": Row(
        "guides/tracing.md",
        stories.billing_events,
        as_main("from ironflow import Client\n\n" + guide("tracing", "bill_orders") + "\n\n" + BILL, "main()"),
        awaited="charge_card",
    ),
    "subscriptions": Row("guides/subscriptions.md", stories.follower, as_main(guide("subscriptions"), "follow()")),
    "subscriptions-connection": Row(
        "guides/subscriptions.md",
        stories.connection,
        as_main(guide("subscriptions", "follow_and_watch"), "follow_and_watch()"),
    ),
    "subscriptions-command": Row(
        "guides/subscriptions.md", stories.follower, command("guides/subscriptions.md", "subscribe")
    ),
    "streams": Row(
        "guides/streams.md",
        stories.stream,
        as_main("import ironflow\n\n" + guide("streams", "def follow") + "\n\n" + FOLLOW_STREAM, "main()"),
    ),
    "projections": Row(
        "guides/projections.md",
        stories.totals,
        guide("projections", "order_totals", "receipts", "customers")
        + "\n\nWorker(projections=[order_totals, receipts, customers]).run()\n",
    ),
    "order-history": Row(
        "../examples/order-history/README.md",
        stories.history,
        (ROOT / "examples" / "order-history" / "app.py").read_text(),
    ),
    "sql": Row("guides/sql.md", stories.sql_orders),
    "kv": Row(
        "guides/kv.md",
        stories.kv_watch,
        RECORDED
        + in_main(
            guide("kv", "sessions.watch"),
            'client = ironflow.Client()\nsessions = client.kv.bucket("sessions")\n'
            'sessions.watch = watched(sessions.watch, "key", "value")',
        ),
        before="kv create-bucket",
    ),
    "kv-command": Row("guides/kv.md", stories.kv_watch, command("guides/kv.md", "kv watch"), before="kv create-bucket"),
    "config": Row(
        "guides/config.md",
        stories.config_watch,
        RECORDED
        + in_main(
            guide("config", "client.config.watch"),
            'client = ironflow.Client()\nclient.config.watch = watched(client.config.watch, "data")',
        ),
    ),
    "config-command": Row("guides/config.md", stories.config_watch, command("guides/config.md", "config watch")),
}

ROWS |= {
    "tutorial": Row("tutorial/README.md", stories.receipts, "tutorial", worker=True),
    "push": Row("guides/push.md", stories.welcomes, guide("push")),
    "webhooks": Row(
        "guides/webhooks.md", stories.sales, guide("webhooks", "to_event", "async def handle") + WEBHOOK_APPLICATION
    ),
    "subscriptions-sse": Row("guides/subscriptions.md", stories.follower, EVENT_SOURCE),
}


# Those of one group share a server and its restart.
GROUPS = {
    "workers": "workers workers-streaming workers-in-a-program tutorial host-bound-work",
    "steps": "functions-and-steps waiting-for-events handles run-values run-keys",
    "conversations": "run-messages restarting-runs entities schedules webhooks",
    "deliveries": "consumer-groups consumer-groups-program tracing push",
    "followers": "subscriptions subscriptions-connection subscriptions-command subscriptions-sse streams",
    "read-models": "projections order-history sql",
    "watches": "kv kv-command config config-command",
}


def test_each_row_is_in_a_group():
    assert sorted(name for group in GROUPS.values() for name in group.split()) == sorted(ROWS)


@pytest.mark.parametrize("group", GROUPS)
def test_the_programs_of_the_guides_go_on_when_the_server_is_killed_and_started_again(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with ExitStack() as stack:
        server = RestartedServer(tmp_path)
        stack.callback(server.close)
        server.start()
        monkeypatch.setenv("IRONFLOW_SERVER_URL", server.url)
        acts: list[tuple[str, Scene, Iterator[None]]] = []
        for name in GROUPS[group].split():
            (tmp_path / name).mkdir()
            with Client() as client:
                client.environments.create(name)
            with monkeypatch.context() as settings:
                settings.setenv("IRONFLOW_ENV", name)
                client = stack.enter_context(Client(timeout="60s"))
                scene = Scene(server, client, tmp_path / name)
                stack.callback(scene.close)
                start(ROWS[name], scene, name)
            acts.append((name, scene, ROWS[name].story(scene)))
        for name, _, story in acts:
            go_on(name, story, monkeypatch)
        server.kill()
        server.start()
        for name, _, story in acts:
            go_on(name, story, monkeypatch)
        for _, scene, _ in acts:
            scene.check_undisturbed()


def go_on(name: str, story: Iterator[None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The next part of the story, whose clients and commands have the environment of that name."""
    try:
        with monkeypatch.context() as settings:
            settings.setenv("IRONFLOW_ENV", name)
            next(story, None)
    except BaseException as fault:
        fault.add_note(f"in the story of {name}")
        raise


def start(row: Row, scene: Scene, environment: str) -> None:
    if row.before:
        assert run_command(command(row.page, row.before)) == 0
    if isinstance(row.program, list):
        scene.start(["ironflow", *row.program], environment)
        return
    if not row.program:
        return
    if row.beside[0]:
        (scene.folder / row.beside[0]).write_text(row.beside[1])
    if row.program == "tutorial":
        # The project that the tutorial writes first, and shows.
        assert run_command(["init", str(scene.folder / "shop")]) == 0
        written = (scene.folder / "shop" / "app.py").read_text()
        assert block("tutorial/README.md", "@function(") in written
        scene.start(["ironflow", "worker", str(scene.folder / "shop" / "app.py")], environment)
        return
    given = ["from tests.examples.recording import async_recorder, recorder"]
    given += [f'{each} = recorder("{each}")' for each in row.plain.split()]
    given += [f'{each} = async_recorder("{each}")' for each in row.awaited.split()]
    program = scene.folder / "program.py"
    program.write_text("\n".join(given) + "\n\n" + row.program)
    if "app = FastAPI()" in row.program:
        scene.start(["uvicorn", "program:app", "--port", str(scene.server.other_port)], environment)
    else:
        scene.start(["ironflow", "worker", str(program), *row.options] if row.worker else ["program"], environment)
