"""Question: does the dashboard show something useful within a second when there are 1,000,000 runs?

Method: a worker executes four runs (completed, failed, paused, waiting). The server stops, and its SQLite file gets
IRONFLOW_BENCH_RUNS copies of them (default 1,000,000) over 30 days, with their events and steps. Then Chromium opens
each page with an empty cache: from the request of the page until its first useful content stands there, best of three.
Without Chromium or the built dashboard there is nothing to measure.
"""

import asyncio
import os
import shutil
import time
from typing import Any

from benchmarks.answers import Figure
from benchmarks.filling_runs import copy_runs
from benchmarks.processes import Workspace
from ironflow import Client, Retry, function
from ironflow.dashboard.site import BUILT
from ironflow.sdk.client.views.runs import Run
from ironflow.worker import Worker

RUNS = int(os.environ.get("IRONFLOW_BENCH_RUNS", "1000000"))
SETTLED = {"completed", "failed", "waiting: wait_event"}
ROUNDS, PATIENCE_MS = 3, 120_000
FAILED_EVERY, PAUSED_EVERY, WAITING_EVERY = 50, 500, 100
# The page, and what is useful first there.
ROW = "table[aria-label=Runs] tbody tr"
PAGES = {
    "overview": ("/", "section[aria-label=Functions] tbody tr"),
    "runs": ("/runs", ROW),
    "runs, failed": ("/runs?filter=status%3Afailed", ROW),
    "runs, of a function in an hour": ("/runs?filter=function%3Afunction-7%20since%3A1h", ROW),
    "runs, completed": ("/runs?filter=status%3Acompleted", ROW),
    "runs, by a text": ("/runs?filter=copied", ROW),
    "runs, by a text that is nowhere": ("/runs?filter=nowhere", "main p:has-text('No run')"),
    "errors of a day": ("/errors", "main article"),
    "errors of 30 days": ("/errors?since=30d", "main article"),
    "events": ("/events", "main table tbody tr"),
    "functions": ("/functions", "main table tbody tr"),
    "map": ("/map", "main svg a"),
}


class CardDeclined(Exception):
    """What the failed run fails with."""


def charge(card: str) -> str:
    if card == "declined":
        raise CardDeclined("insufficient funds on card 4711")
    return "charged"


@function("copied-run", on="copied.*", retry=Retry(max_attempts=1))
async def copied_run(ctx: Any) -> str:
    done = await ctx.step.run("charge-card", charge, ctx.event.data["card"])
    if ctx.event.data["waits"]:
        await ctx.step.wait_for_event("confirmed", event="card.confirmed", match="data.id", timeout="300d")
    return done


async def run(workspace: Workspace) -> list[Figure]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or not (BUILT / "index.html").is_file():
        return []
    from playwright.async_api import async_playwright

    server, address = await workspace.server()
    async with Client(address) as client, Worker([copied_run], url=address):
        ids = await _originals(client)
    server.stop()
    begun = time.perf_counter()
    seldom = {ids["failed"]: FAILED_EVERY, ids["paused"]: PAUSED_EVERY, ids["waiting"]: WAITING_EVERY}
    until = time.time_ns() // 1_000_000
    copy_runs(workspace.folder / "bench.db", RUNS, until, ids["completed"], seldom)
    figures = [Figure(name=f"filling {RUNS:,} runs", value=time.perf_counter() - begun, unit="s", better="less")]
    _, address = await workspace.server()
    async with async_playwright() as playwright, Client(address) as client:
        failed = (await client.runs.list(status="failed").page(limit=1)).items[0].id
        pages = {**PAGES, "a run": (f"/runs/{failed}", "main h1")}
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            for name, (path, useful) in pages.items():
                took_s = min([await _open(browser, address, path, useful) for _ in range(ROUNDS)])
                figures.append(Figure(name=name, value=took_s, unit="s", target=1, better="less"))
        finally:
            await browser.close()
    return figures


async def _originals(client: Client) -> dict[str, str]:
    """The runs that are copied: their ids by status."""
    wanted = {
        "completed": {"card": "good", "waits": False},
        "failed": {"card": "declined", "waits": False},
        "waiting": {"card": "good", "waits": True, "id": 1},
        "paused": {"card": "good", "waits": True, "id": 2},
    }
    ids = {status: (await client.emit(f"copied.{status}", data)).run_ids[0] for status, data in wanted.items()}
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not {run.state for run in await _runs(client, ids)} <= SETTLED:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await client.runs.pause(ids["paused"])
    return ids


async def _runs(client: Client, ids: dict[str, str]) -> list[Run]:
    return [await client.runs.get(run_id) for run_id in ids.values()]


async def _open(browser: Any, address: str, path: str, useful: str) -> float:
    """Seconds until something useful stands on the page; the browser remembers nothing."""
    context = await browser.new_context(base_url=address)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    begun = time.perf_counter()
    await page.goto(path)
    await page.wait_for_selector(useful)
    took_s = time.perf_counter() - begun
    await context.close()
    return took_s
