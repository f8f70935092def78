"""A job of another system is polled until it is done, and its result fetched in parts (Temporal: polling, heartbeats).

Start it with `ironflow dev polling.py`, then render:
`ironflow emit render.requested --data '{"film": "tides", "polls": 3, "parts": 4}' --wait`.
"""

from datetime import timedelta
from typing import Any

import msgspec
import outside

from ironflow import Context, Retry, current_step, function


class Film(msgspec.Struct):
    """polls: how often the job is asked for until it is done. parts: of its result."""

    film: str
    polls: int
    parts: int


class NotDone(Exception):
    """The job goes on. It is asked for again after the delay of the step's `retry`."""


# Between two polls the run is a row with a time: no worker waits, and a killed one takes no attempt.
UNTIL_DONE = Retry(max_attempts=1000, initial_delay="100ms", backoff_factor=1, retry_on=[NotDone])


@function("render-film", on="render.requested", timeout="1h", retry=Retry(max_attempts=3, initial_delay="200ms"))
async def render_film(ctx: Context, film: Film) -> dict[str, Any]:
    """Starts the job, polls it, and fetches what it made."""
    job = await ctx.step.run("submit", submit, film)
    await ctx.step.run("poll", poll, job, film, retry=UNTIL_DONE)
    fetched = await ctx.step.run("fetch", fetch, job, film, timeout=timedelta(minutes=10))
    return {"job": job, "fetched": fetched}


async def submit(film: Film) -> str:
    await outside.call("studio.submit", film=film.film)
    return f"job-{film.film}"


async def poll(job: str, film: Film) -> None:
    polls = len(outside.recorded("studio.poll"))
    await outside.call("studio.poll", job=job)
    if polls + 1 < film.polls:
        raise NotDone(f"{job} is still being rendered")


async def fetch(job: str, film: Film) -> int:
    """Goes on at the part that an earlier worker showed last, by `heartbeat`; returns the number of parts."""
    step = current_step()
    for part in range(step.details or 0, film.parts):
        await outside.call(f"studio.fetch.{part}", job=job)
        step.heartbeat(part + 1)
    return film.parts


functions = [render_film]
