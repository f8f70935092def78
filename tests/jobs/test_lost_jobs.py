"""Jobs that end with the process or the request that executed them."""

from ironflow.base.call import Call
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs.contract import RunStatus
from tests.support.server import open_server
from tests.support.work import Work
from tests.support.yields import sleeps

HOUR_MS = 3_600_000


async def test_open_steps_of_a_run_end_with_its_last_execution(database_url: str):
    async with open_server(Work, database_url, lease_losses_max=1) as server:
        await server.a_run()
        job = await server.claim()
        await server.report(job, "progress", yields=[sleeps(job, server.now + HOUR_MS)])

        await server.part(Jobs).lost(Call(environment="default", now=server.now), job.job_id)

        run = await server.run(job.run_id)
        assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "WORKER_LOST")
        assert [each.stored_status for each in await server.steps(job.run_id)] == ["cancelled"]
