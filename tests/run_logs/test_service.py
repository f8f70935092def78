"""Lines of a run: they come with reports, once, and go with their run."""

import asyncio
from typing import Any

import pytest

from ironflow.engine.errors import StaleExecution
from ironflow.features.jobs.contract import Assignment
from ironflow.features.redaction import contract as redaction
from ironflow.features.run_logs import contract
from ironflow.features.run_logs.contract import InvalidLogQuery
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.secrets import contract as secrets
from ironflow.storage.port import Tx
from tests.support.server import open_server
from tests.support.work import Work, step

DAY_MS = 24 * 3600 * 1000


def lines(*texts: str, first: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [{"number": first + each, "message": text, **more} for each, text in enumerate(texts)]


async def a_job(server: Work, **config: Any) -> Assignment:
    await server.a_function(**config)
    await server.a_worker()
    await server.emit()
    return await server.claim()


async def logs(server: Work, run_id: str, **asked: Any) -> contract.RunLogs:
    return await server.call(contract.get, run_id=run_id, **asked)


async def texts(server: Work, run_id: str, **asked: Any) -> list[str]:
    return [line.message for line in (await logs(server, run_id, **asked)).lines]


async def stored(server: Work) -> int:
    def count(tx: Tx) -> int:
        row = tx.row("SELECT count(*) FROM log_lines")
        return row[0] if row else 0

    return await server.db.read(count)


async def test_lines_are_kept_with_the_step_and_the_attempt_that_wrote_them(server: Work):
    job = await a_job(server)
    charge = step(job, "charge", error={"message": "declined"})

    await server.report(job, "progress", logs=lines("begin", data={"total": 5}))
    await server.report(job, "failed", charge, logs=lines("declined", first=1, level="warn", step_id=charge["id"]))
    server.move(1_000)
    await server.loop("timers")
    again = await server.claim()
    await server.report(again, "completed", output=1, logs=lines("paid", step_id=charge["id"]))

    found = (await logs(server, job.run_id)).lines
    assert [(line.message, line.level, line.step_name, line.attempt, line.execution_seq) for line in found] == [
        ("begin", "info", None, 1, 1),
        ("declined", "warn", "charge", 1, 1),
        ("paid", "info", "charge", 2, 2),
    ]
    assert [found[0].data and bytes(found[0].data), found[1].data] == [b'{"total":5}', None]
    assert await texts(server, job.run_id, level="warn") == ["declined"]
    assert await texts(server, job.run_id, step="charge") == ["declined", "paid"]


async def test_a_report_that_is_sent_again_brings_its_lines_once(server: Work):
    job = await a_job(server)

    for _ in range(2):
        await server.report(job, "progress", step(job, "charge"), logs=lines("a", "b"))
    for _ in range(2):
        await server.report(job, "completed", output=1, logs=lines("c", first=2))

    assert await texts(server, job.run_id) == ["a", "b", "c"]


async def test_a_refused_report_brings_no_lines(server: Work):
    run = await server.a_run()
    old, new = await server.claim_twice(run, lease_ends_between=True)

    with pytest.raises(StaleExecution):
        await server.report(old, "progress", logs=lines("late"))
    await server.report(new, "completed", worker="w2", output=1, logs=lines("in time"))

    assert await texts(server, run.id) == ["in time"]


async def test_a_run_keeps_no_more_lines_than_the_setting_allows(database_url: str):
    async with open_server(Work, database_url, run_log_lines_max=3) as server:
        job = await a_job(server)
        await server.report(job, "progress", logs=lines("a", "b"))
        await server.report(job, "progress", logs=lines("c", "d", first=2))
        await server.report(job, "completed", output=1, logs=lines("e", first=4))

        assert await texts(server, job.run_id) == [
            "a",
            "b",
            "Further lines of this run are not kept: it has the 3 lines that run_log_lines_max allows.",
        ]


@pytest.mark.parametrize("level", ["off", "warn"])
async def test_a_job_names_the_level_from_which_on_lines_are_kept(database_url: str, level: str):
    async with open_server(Work, database_url, run_log_level=level) as server:
        job = await a_job(server)
        await server.report(job, "completed", output=1, logs=lines("quiet") + lines("loud", first=1, level="error"))

        assert job.log_level == (None if level == "off" else level)
        assert await texts(server, job.run_id) == ([] if level == "off" else ["loud"])


async def test_a_job_of_a_worker_of_another_language_has_no_level(server: Work):
    await server.a_function()
    await server.a_worker()
    await server.emit()

    assert (await server.claim(acked=False)).log_level is None


async def test_pages_follow_one_another_without_gap(server: Work):
    job = await a_job(server)
    await server.report(job, "progress", logs=lines(*"abcde"))

    first = await logs(server, job.run_id, limit=2)
    second = await logs(server, job.run_id, limit=3, cursor=first.next_cursor)

    assert [line.message for line in (*first.lines, *second.lines)] == list("abcde")
    assert (second.next_cursor, second.ended) == (None, False)


async def test_a_follower_gets_lines_as_they_come_and_the_end_of_the_run(server: Work):
    job = await a_job(server)
    held = asyncio.create_task(logs(server, job.run_id, wait=20))
    await asyncio.sleep(0)

    await server.report(job, "progress", logs=lines("first"))
    answer = await held
    assert ([line.message for line in answer.lines], answer.ended) == (["first"], False)

    held = asyncio.create_task(logs(server, job.run_id, wait=20, cursor=answer.cursor))
    await asyncio.sleep(0)
    await server.report(job, "completed", output=1)
    answer = await held
    assert (answer.lines, answer.ended) == ([], True)


async def test_lines_go_with_their_run(database_url: str):
    async with open_server(Work, database_url, run_retention_days=7) as server:
        job = await a_job(server)
        await server.report(job, "completed", output=1, logs=lines("a"))
        assert await stored(server) == 1
        server.move(8 * DAY_MS)

        await server.loop("runs-purge")

        assert await stored(server) == 0
        with pytest.raises(RunNotFound):
            await logs(server, job.run_id)


async def test_a_redacted_run_has_no_lines_and_a_redacted_step_none_of_its_own(server: Work):
    job = await a_job(server)
    charge = step(job, "charge", {"card": 1})
    written = lines("card 4111", step_id=charge["id"]) + lines("total 5", first=1)
    await server.report(job, "completed", charge, output=1, logs=written)

    await server.call(redaction.redact_step, id=charge["id"])
    assert await texts(server, job.run_id) == ["total 5"]
    await server.call(redaction.redact_run, id=job.run_id)
    assert await texts(server, job.run_id) == []


async def test_a_secret_in_a_line_is_not_kept(database_url: str):
    async with open_server(Work, database_url, master_key="11" * 32) as server:
        await server.call(secrets.set_, name="K", value="value-of-k")
        job = await a_job(server, secrets=["K"])
        written = lines("key value-of-k", data={"value-of-k": "is value-of-k"})
        await server.report(job, "completed", output=1, logs=written)

        assert "value-of-k" not in repr(await logs(server, job.run_id))
        assert await texts(server, job.run_id) == ["key [secret]"]


async def test_lines_of_a_run_of_another_environment_are_not_shown(server: Work):
    job = await a_job(server)
    await server.report(job, "completed", output=1, logs=lines("a"))

    with pytest.raises(RunNotFound):
        await logs(server, job.run_id, env="staging")
    with pytest.raises(InvalidLogQuery):
        await logs(server, job.run_id, cursor="yesterday")
    assert (await server.call(runs.get, id=job.run_id)).status == "completed"
