"""Pinned runs go on with the version that they began with; new ones begin with the newest."""

import asyncio
from typing import Any

import pytest

from ironflow.features.controls import contract as controls
from ironflow.features.deploys import contract, service
from ironflow.features.deploys.contract import CodeVersion, InvalidMove
from ironflow.features.functions.contract import FunctionNotFound, InvalidFunction
from ironflow.features.jobs import loops, rules, store
from ironflow.features.jobs.contract import Assignment, InvalidWorker
from ironflow.features.jobs.service import Jobs
from tests.support.server import open_server
from tests.support.work import Work


async def a_version(server: Work, worker: str, version: str, **more: Any) -> None:
    server.move(1)
    versions = {"charge": version} if version else {}
    await server.a_worker(worker, code_versions=versions, **more)


async def a_waiting_run(server: Work, worker: str) -> str:
    """A run that the worker began, and that sleeps for a minute."""
    await server.emit()
    job = await server.claim(worker)
    await server.sleep(job, until=server.now + 60_000)
    return job.run_id


async def awake(server: Work) -> None:
    server.move(60_000)
    await server.loop("timers")


async def found(server: Work) -> list[tuple[str, int, int, bool, bool]]:
    answer = await server.call(contract.versions, function_id="charge")
    return [(each.version, each.workers, each.runs, each.newest, each.may_go) for each in answer.versions]


async def ids(jobs: list[Assignment]) -> list[str]:
    return [job.run_id for job in jobs]


async def test_a_rolling_deploy_leaves_runs_to_the_version_that_they_began_with(server: Work):
    await server.a_function(on_code_change="pin")
    await a_version(server, "old", "v1")
    first = await a_waiting_run(server, "old")
    await a_version(server, "new", "v2")
    (second,) = (await server.emit()).run_ids
    await awake(server)
    await a_version(server, "old", "v1")
    await a_version(server, "new", "v2")

    assert await ids(await server.poll("new", available=5)) == [second]
    assert await ids(await server.poll("old", available=5)) == [first]


async def test_without_a_pin_every_worker_takes_every_run(server: Work):
    await server.a_function()
    await a_version(server, "old", "v1")
    first = await a_waiting_run(server, "old")
    await a_version(server, "new", "v2")
    await awake(server)
    await a_version(server, "new", "v2")

    assert await ids(await server.poll("new", available=5)) == [first]


async def test_the_server_may_pin_the_runs_of_all_functions(database_url: str):
    async with open_server(Work, database_url, on_code_change="pin") as server:
        await server.a_function()
        await a_version(server, "old", "v1")
        await a_version(server, "new", "v2")
        await server.emit()

        assert await server.poll("old") == []
        assert len(await server.poll("new")) == 1


async def test_versions_show_the_runs_under_way_and_which_workers_may_go(server: Work):
    await server.a_function(on_code_change="pin")
    await a_version(server, "old", "v1")
    await a_waiting_run(server, "old")
    await a_version(server, "new", "v2")

    assert await found(server) == [("v2", 1, 0, True, False), ("v1", 1, 1, False, False)]

    await awake(server)
    await a_version(server, "old", "v1")
    await a_version(server, "new", "v2")
    await server.report(await server.claim("old"), "completed", worker="old", output=1)
    assert await found(server) == [("v2", 1, 0, True, False), ("v1", 1, 0, False, True)]


async def test_after_a_rollback_new_runs_begin_with_what_live_workers_serve(server: Work):
    await server.a_function(on_code_change="pin")
    await a_version(server, "old", "v1")
    await a_version(server, "new", "v2")
    await server.emit()
    assert await server.poll("old") == []
    server.move(130_000)
    await a_version(server, "old", "v1")

    assert len(await server.poll("old")) == 1
    assert (await found(server))[0] == ("v1", 1, 1, True, False)


async def test_a_worker_that_names_no_version_has_runs_of_its_own(server: Work):
    await server.a_function(on_code_change="pin")
    await a_version(server, "node", "")
    first = await a_waiting_run(server, "node")
    await a_version(server, "new", "v2")
    await awake(server)
    await a_version(server, "node", "")
    await a_version(server, "new", "v2")

    assert await server.poll("new") == []
    assert await ids(await server.poll("node")) == [first]


async def test_a_run_whose_version_never_comes_back_is_explained_and_moved(server: Work):
    await server.a_function(on_code_change="pin")
    await a_version(server, "old", "v1")
    run_id = await a_waiting_run(server, "old")
    await awake(server)
    server.move(130_000)
    await a_version(server, "new", "v2")
    assert await server.poll("new") == []

    why = await server.call(controls.why, id=run_id)
    assert why.reason == "no_version"
    assert "ironflow function move-runs charge --from v1" in why.message
    moved = await server.call(contract.move_runs, function_id="charge", from_version="v1", reason="v1 is gone")

    assert moved.runs == 1
    assert await ids(await server.poll("new")) == [run_id]
    assert await found(server) == [("v2", 1, 1, True, False)]


async def test_runs_are_moved_to_a_version_by_name(server: Work):
    await server.a_function(on_code_change="pin")
    await a_version(server, "old", "v1")
    run_id = await a_waiting_run(server, "old")
    await a_version(server, "new", "v2")
    await a_version(server, "newest", "v3")
    asked = {"function_id": "charge", "from_version": "v1", "to_version": "v2"}
    assert (await server.call(contract.move_runs, **asked)).runs == 1
    assert (await server.call(contract.move_runs, **asked)).runs == 0
    await awake(server)
    await a_version(server, "new", "v2")

    assert await ids(await server.poll("new")) == [run_id]


async def test_what_cannot_be_moved_is_refused(server: Work):
    await server.a_function(on_code_change="pin")
    await a_version(server, "old", "v1")

    for to in ("v1", "v9"):
        with pytest.raises(InvalidMove):
            await server.call(contract.move_runs, function_id="charge", from_version="v1", to_version=to)
    with pytest.raises(FunctionNotFound):
        await server.call(contract.versions, function_id="nothing")


async def test_settings_that_make_no_sense_are_refused(server: Work):
    with pytest.raises(InvalidFunction, match="continue, warn, pause or pin"):
        await server.a_function(on_code_change="hope")
    with pytest.raises(InvalidFunction, match="one version at a time"):
        await server.a_function(on_code_change="pin", endpoint_url="https://shop.example/api")
    with pytest.raises(InvalidWorker, match="200"):
        await server.a_worker(code_versions={"charge": "v" * 201})


async def test_an_empty_list_of_versions(server: Work):
    await server.a_function()

    answer = await server.call(contract.versions, function_id="charge")

    assert (answer.on_code_change, answer.versions) == ("warn", list[CodeVersion]())


async def test_which_versions_are_served_is_read_once_and_for_jobs_only(server: Work, monkeypatch: pytest.MonkeyPatch):
    await server.a_function(on_code_change="pin")
    await a_version(server, "new", "v2")
    reads: list[str] = []
    versions_served = store.versions_served

    def counted(tx: Any, environment: str, function_id: str, oldest: int) -> list[str]:
        reads.append(function_id)
        return versions_served(tx, environment, function_id, oldest)

    monkeypatch.setattr(store, "versions_served", counted)
    assert await server.poll("new") == []
    assert reads == []

    held = [asyncio.create_task(server.poll("new", wait=20)) for _ in range(5)]
    async with asyncio.timeout(30):
        while server.part(Jobs).matcher.waiting() < 5:  # noqa: ASYNC110 nothing announces it
            await asyncio.sleep(0.01)
    await server.emit()
    await asyncio.wait(held, return_when=asyncio.FIRST_COMPLETED)
    assert reads == ["charge"]
    server.part(Jobs).matcher.drain()
    assert sum(len(jobs) for jobs in await asyncio.gather(*held)) == 1


async def test_versions_that_no_worker_and_no_run_has_are_forgotten(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loops, "BATCH", 2)
    await server.a_function(on_code_change="pin")
    for number in range(4):
        await a_version(server, f"gone{number}", f"g{number}")
    await a_version(server, "pinned", "v1")
    await a_waiting_run(server, "pinned")

    async def versions() -> list[str]:
        rows = await server.db.read(lambda tx: tx.rows("SELECT version FROM function_code_versions ORDER BY version"))
        return [row[0] for row in rows]

    await server.loop("workers")
    await server.loop("code-versions")
    assert await versions() == ["g0", "g1", "g2", "g3", "v1"]

    # Evicted, then forgotten a month later; one worker has been there all the time.
    server.move(rules.EVICTED_KEPT_MS)
    await server.loop("workers")
    await a_version(server, "live", "g2")
    server.move(rules.EVICTED_KEPT_MS)
    await server.loop("workers")
    await server.loop("code-versions")
    assert await versions() == ["g2", "v1"]


async def test_the_configurations_of_a_function_have_the_runs_that_began_with_them(server: Work):
    await server.a_function(description="first")
    await server.emit()
    await server.a_function(description="second", change_reason="a better one")

    answer = await server.call(contract.registrations, function_id="charge")

    assert [(each.version, each.runs, each.reason) for each in answer.registrations] == [
        (2, 0, "a better one"),
        (1, 1, ""),
    ]
    assert b"first" in bytes(answer.registrations[1].config)
    assert not answer.truncated


async def test_runs_of_other_functions_count_only_towards_the_bound(server: Work, monkeypatch: pytest.MonkeyPatch):
    await server.a_function()
    await server.a_function("ship", on="order.placed")
    await server.emit()
    monkeypatch.setattr(service, "RUNS_MAX", 3)
    whole = await server.call(contract.registrations, function_id="charge")
    monkeypatch.setattr(service, "RUNS_MAX", 2)
    part = await server.call(contract.registrations, function_id="charge")

    assert [(each.version, each.runs) for each in whole.registrations] == [(1, 1)]
    assert (whole.truncated, part.truncated) == (False, True)


async def test_registrations_are_read_page_by_page(server: Work):
    for number in range(3):
        await server.a_function(description=str(number))

    first = await server.call(contract.registrations, function_id="charge", limit=2)
    rest = await server.call(contract.registrations, function_id="charge", limit=2, cursor=first.next_cursor)

    assert [each.version for each in (*first.registrations, *rest.registrations)] == [3, 2, 1]
    assert rest.next_cursor is None


async def test_registrations_of_an_unknown_function_are_refused(server: Work):
    with pytest.raises(FunctionNotFound):
        await server.call(contract.registrations, function_id="unknown")
