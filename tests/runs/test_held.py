"""Of a held run that has not changed only the version is read, and what is loaded is what its row has."""

from collections.abc import Callable

from pytest import raises

from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.model import Run
from ironflow.features.controls import contract as controls
from ironflow.features.environment_deletions import in_tx as deletions
from ironflow.features.runs import store
from ironflow.features.runs.held import STEP_ID_CHARS_MAX, HeldRuns
from ironflow.features.runs.in_tx import RunChanges, RunRepository
from ironflow.storage.port import Tx
from tests.support.rows_read import reads_of
from tests.support.work import LEASE_MS, Work, step

# A column that only statements for whole runs have.
WHOLE = "r.slot_key"


async def load_held(server: Work, run_id: str, *step_ids: str) -> tuple[Run, bool]:
    """The run as a report finds it, which has to be as its row; and whether the whole row was read for it."""
    repository, asked = server.part(RunRepository), {run_id: set(step_ids)}
    with reads_of(server.db) as reads:
        held = (await server.db.write(lambda tx: repository.load_held(tx, [run_id], asked)))[run_id]
    row = (await server.db.write(lambda tx: repository.load(tx, [run_id], asked)))[run_id]
    assert held == row
    return held, any(WHOLE in sql for _, sql in reads.each)


def changing(run_id: str, command: commands.RunCommand, now: int) -> Callable[[Tx], None]:
    """Writes what the command changes in the run; this process learns nothing of it, as of another node's change."""

    def change(tx: Tx) -> None:
        (before,) = store.load(tx, [run_id]).values()
        after = decide(before, command, now).run
        store.update_runs(tx, [after])
        store.save_leases(tx, [after])

    return change


async def test_a_held_run_is_as_its_row_after_every_change(server: Work):
    run = await server.a_run()
    job = await server.claim(acked=False)
    first, second = f"{run.id}:first:0", f"{run.id}:second:0"
    whole: list[bool] = []

    async def look(*step_ids: str) -> Run:
        held, read_whole = await load_held(server, run.id, *step_ids)
        whole.append(read_whole)
        return held

    await look()
    await server.ack(job)
    await look(first)
    await server.report(job, "progress", step(job, "first", 1))
    assert set((await look(first, second)).steps) == {first}
    server.move(LEASE_MS // 2)
    await server.heartbeat(job)
    await look()
    await server.report(job, "progress", step(job, "second", 2))
    assert set((await look(first, second, "third")).steps) == {first, second}
    await server.call(controls.pause, run_id=run.id)
    assert (await look()).pause_requested

    assert not any(whole)


async def test_a_step_from_before_the_lease_is_found(server: Work):
    run = await server.a_run(status="pending")
    job = await server.claim()
    await server.sleep(job, step(job, "first", 1), until=server.now + 1_000)
    server.move(1_000)
    await server.loop("timers")
    await server.claim()

    held, whole = await load_held(server, run.id, f"{run.id}:first:0", f"{run.id}:second:0")

    assert set(held.steps) == {f"{run.id}:first:0"}
    assert not whole


async def test_the_id_of_a_step_is_kept_unless_it_is_long(server: Work):
    run = await server.a_run()
    job = await server.claim()
    repository = server.part(RunRepository)

    async def looks_for_steps() -> bool:
        with reads_of(server.db) as reads:
            await server.db.write(lambda tx: repository.load_held(tx, [run.id], {run.id: {"another"}}))
        return any("FROM steps" in sql for _, sql in reads.each)

    await server.report(job, "progress", step(job, "short", 1))
    assert not await looks_for_steps()

    long = "x" * STEP_ID_CHARS_MAX
    await server.report(job, "progress", step(job, long, 2))
    assert await looks_for_steps()
    held, _ = await load_held(server, run.id, f"{run.id}:{long}:0")
    assert len(held.steps) == 1


async def test_a_run_that_another_node_has_changed_is_read_anew(server: Work):
    run = await server.a_run(status="running")
    await server.db.write(changing(run.id, commands.Pause(), server.now))

    held, whole = await load_held(server, run.id)

    assert held.pause_requested
    assert whole


async def test_what_a_transaction_decided_that_failed_is_not_kept(server: Work):
    run = await server.a_run()
    job = await server.claim()
    repository = server.part(RunRepository)

    def fail(tx: Tx) -> None:
        (before,) = repository.load_held(tx, [run.id], {}).values()
        repository.save(tx, [(before, decide(before, commands.Pause(), server.now))], server.now)
        raise LookupError

    with raises(LookupError):
        await server.db.write(fail)
    # The version that the failed transaction had given to the run.
    await server.db.write(changing(run.id, commands.Renew(job.job_id, "w1", LEASE_MS * 2), server.now))

    held, _ = await load_held(server, run.id)

    assert not held.pause_requested


async def test_a_lease_that_went_with_its_environment_is_not_kept(server: Work):
    run = await server.a_run(status="running")
    await server.db.write(lambda tx: deletions.start(tx, "env_1", "default", "default", "", server.now))
    (loop,) = [each for each in server.inside.all_loops if each.name == "environment-deletions"]
    while await server.db.read(lambda tx: tx.row("SELECT 1 FROM jobs")):
        await loop.run_once(server.now)

    held, whole = await load_held(server, run.id)

    assert held.lease is None
    assert whole


async def test_as_many_held_runs_are_kept_as_there_may_be_and_none_that_has_ended(server: Work):
    await server.a_function()
    await server.a_worker()
    ids = [(await server.emit()).run_ids[0] for _ in range(3)]
    jobs = {job.run_id: job for job in await server.poll(available=3)}
    runs = await server.db.write(lambda tx: store.load(tx, ids))
    held = HeldRuns(runs_max=2)
    for run_id in ids:
        held.receive(RunChanges([decide(runs[run_id], commands.Pause(), server.now)]))
    assert held.ids == ids[1:]

    fence = commands.Fence(jobs[ids[1]].job_id, jobs[ids[1]].execution_seq, jobs[ids[1]].lease_token)
    end = commands.Report(fence=fence, kind="completed", lease_ms=LEASE_MS)
    held.receive(RunChanges([decide(runs[ids[1]], end, server.now)]))
    assert held.ids == ids[2:]
