"""Question: does the dashboard stay quick: at its first view, with 10,000 steps, and while 500 events a second arrive?

Method: Chromium without a window, on a server with one worker. (1) The overview with an empty cache, until its
heading is drawn; the best of three. (2) A run of 10,000 steps, until all of them are counted; then the list is
scrolled to its end and back, its map clicked, the ruler dragged, a step searched for and one selected. (3) The live
tail of the events for five seconds, while 500 events a second are emitted.
A long task is what keeps the page from answering: the longest of each part is reported. Those of (2) by the CPU time of
the page's main thread, so that other load of the machine does not count; that of (3) by the clock.
Without Chromium or the built dashboard there is nothing to measure.
"""

import asyncio
import re
import shutil
import time
from typing import Any

from benchmarks.answers import Figure
from benchmarks.processes import Workspace
from benchmarks.tasks import Tasks
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
            opened_s, longest = await _many_steps(browser, address, client)
            tail_ms, shown = await _tail(browser, address, client)
        finally:
            await browser.close()
    return [
        Figure(name="first view", value=first_s, unit="s", target=1, better="less"),
        Figure(name="a run of 10,000 steps, until all are counted", value=opened_s, unit="s", better="less"),
        *(
            Figure(name=f"its longest task: {what}", value=longest_ms, unit="ms of CPU", target=50, better="less")
            for what, longest_ms in longest.items()
        ),
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


async def _many_steps(browser: Any, address: str, client: Client) -> tuple[float, dict[str, float]]:
    """Seconds until all steps are there; the longest task of each thing that is done with them, in milliseconds."""
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
    await page.get_by_text("more to come").wait_for(state="detached")
    longest: dict[str, float] = {}
    for what, act in (("scroll", _scroll), ("map", _click_map), ("zoom", _zoom), ("find", _find), ("select", _select)):
        async with Tasks(browser) as tasks:
            await act(page)
        longest[what] = tasks.longest_ms
    await page.context.close()
    return took, longest


async def _scroll(page: Any) -> None:
    rows = await page.locator(".rows").bounding_box()
    await page.mouse.move(rows["x"] + 400, rows["y"] + 200)
    for by in [300] * 20 + [2000, 20_000, 200_000, -100_000, -200_000]:
        await page.mouse.wheel(0, by)
        await page.wait_for_timeout(50)


async def _click_map(page: Any) -> None:
    box = await page.locator(".map").bounding_box()
    for part in (0.9, 0.1, 0.5, 0.7):
        await page.mouse.click(box["x"] + 100, box["y"] + box["height"] * part)
        await page.wait_for_timeout(100)


async def _zoom(page: Any) -> None:
    box = await page.locator(".ruler").bounding_box()
    for begin, end in ((0.1, 0.8), (0.2, 0.9)):
        await page.mouse.move(box["x"] + box["width"] * begin, box["y"] + 10)
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] * end, box["y"] + 10)
        await page.mouse.up()
        await page.wait_for_timeout(100)
    await page.get_by_role("button", name="Fit").click()


async def _find(page: Any) -> None:
    await page.get_by_label("Find a step").press_sequentially("step", delay=50)
    await page.get_by_label("Find a step").fill("")
    await page.wait_for_timeout(100)


async def _select(page: Any) -> None:
    rows = await page.locator(".rows").bounding_box()
    for number in range(3):
        await page.mouse.click(rows["x"] + 60, rows["y"] + 100 + 84 * number)
        await page.wait_for_timeout(200)


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
