"""Question: does the dashboard stay quick: at its first view, with 10,000 steps, and while 500 events a second arrive?

Method: Chromium without a window, on a server with one worker. (1) The overview with an empty cache, until its
heading is drawn; the best of three. (2) A run of 10,000 steps, until all of them are counted; then the list is
scrolled to its end and back. (3) The live tail of the events for five seconds, while 500 events a second are emitted.
A long task is what keeps the page from answering: the longest of each part is reported, as the browser measures it.
Without Chromium or the built dashboard there is nothing to measure.
"""

import asyncio
import re
import shutil
import time
from typing import Any

from benchmarks.answers import Figure
from benchmarks.processes import Workspace
from ironflow import Client, function
from ironflow.dashboard.site import BUILT
from ironflow.worker import Worker

STEPS = 10_000
EVENTS_PER_SECOND, BATCH, SECONDS = 500, 50, 5.0
PATIENCE_MS = 120_000
# Long tasks, as the browser counts them: from 50 ms on.
OBSERVE = """window.longest = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
}).observe({type: "longtask", buffered: true});"""


@function("many-steps", on="many.steps")
async def many_steps(ctx: Any) -> int:
    for _ in range(STEPS):
        await ctx.step.run("step", lambda: 1)
    return STEPS


async def run(workspace: Workspace) -> list[Figure]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or not (BUILT / "index.html").is_file():
        return []
    from playwright.async_api import async_playwright

    _, address = await workspace.server()
    async with (
        async_playwright() as playwright,
        Client(address) as client,
        Worker([many_steps], url=address),
    ):
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            first_s = min([await _first_view(browser, address) for _ in range(3)])
            opened_s, scrolled_ms = await _many_steps(browser, address, client)
            tail_ms, shown = await _tail(browser, address, client)
        finally:
            await browser.close()
    return [
        Figure(name="first view", value=first_s, unit="s", target=1, better="less"),
        Figure(name="a run of 10,000 steps, until all are counted", value=opened_s, unit="s", better="less"),
        Figure(name="its longest task while scrolled", value=scrolled_ms, unit="ms", target=50, better="less"),
        Figure(name="the longest task at 500 events a second", value=tail_ms, unit="ms", target=50, better="less"),
        Figure(name="events shown or counted as left out", value=shown, unit=""),
    ]


async def _page(browser: Any, address: str) -> Any:
    context = await browser.new_context(base_url=address)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.add_init_script(OBSERVE)
    return page


async def _first_view(browser: Any, address: str) -> float:
    page = await _page(browser, address)
    begun = time.perf_counter()
    await page.goto("/")
    await page.wait_for_selector("main h1")
    took = time.perf_counter() - begun
    await page.context.close()
    return took


async def _many_steps(browser: Any, address: str, client: Client) -> tuple[float, float]:
    """Seconds until all steps are there; the longest task of scrolling through them, in milliseconds."""
    (run_id,) = (await client.emit("many.steps", {})).run_ids
    for _ in range(PATIENCE_MS // 200):
        if (await client.runs.get(run_id)).status == "completed":
            break
        await asyncio.sleep(0.2)
    page = await _page(browser, address)
    begun = time.perf_counter()
    await page.goto(f"/runs/{run_id}")
    await page.get_by_text(re.compile("10,?000 steps")).first.wait_for()
    took = time.perf_counter() - begun
    await page.evaluate("window.longest = 0")
    await page.mouse.move(500, 400)
    for by in (2000, 20_000, 200_000, -100_000, -200_000):
        await page.mouse.wheel(0, by)
        await page.wait_for_timeout(100)
    longest = await page.evaluate("window.longest")
    await page.context.close()
    return took, longest


async def _tail(browser: Any, address: str, client: Client) -> tuple[float, float]:
    """The longest task in milliseconds, and how many events the page accounts for."""
    page = await _page(browser, address)
    await page.goto("/events?tail=on")
    await page.get_by_role("status").filter(has_text="live").wait_for()
    await page.evaluate("window.longest = 0")
    begun = time.perf_counter()
    sent = 0
    while (now := time.perf_counter() - begun) < SECONDS:
        if sent < now * EVENTS_PER_SECOND:
            await client.emit_batch([{"name": "tail.event", "data": {"number": sent + n}} for n in range(BATCH)])
            sent += BATCH
        else:
            await asyncio.sleep(0.01)
    await page.wait_for_timeout(1000)
    longest = await page.evaluate("window.longest")
    text = await page.get_by_role("status").filter(has_text="events").inner_text()
    await page.context.close()
    numbers = [int(part) for part in text.replace(",", " ").split() if part.isdigit()]
    return longest, float(sum(numbers[:2]))
