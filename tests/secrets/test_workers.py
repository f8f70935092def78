"""Secrets over the stream of workers. Source: protocol/worker-stream.md 2."""

from ironflow.features.secrets import contract
from tests.streaming_workers.streaming import a_stream, eventually
from tests.support.work import Work

VALUE = "value-of-k"


async def test_a_streaming_worker_gets_them_in_the_context_of_its_job(server: Work):
    await server.call(contract.set_, name="K", value=VALUE)
    await server.a_function(secrets=["K", "MISSING"])
    await server.emit()
    async with a_stream(server) as worker:
        job = await worker.job()
        assert job.context is not None
        assert job.context.secrets == {"K": VALUE}
        assert VALUE not in repr(job)


async def test_the_frames_of_a_streaming_worker_are_recorded_without_them(server: Work):
    await server.call(contract.set_, name="K", value=VALUE)
    await server.a_function(secrets=["K"])
    (run_id,) = (await server.emit()).run_ids
    async with a_stream(server) as worker:
        job = await worker.job()
        worker.runs_step(job, "leak", {"key": VALUE})

        async def status() -> str:
            return (await server.run(run_id)).status.value

        await eventually(status, "failed")
    assert "SECRET_IN_OUTPUT" in repr(await server.run(run_id))
    assert VALUE not in repr([await server.run(run_id), await server.steps(run_id)])
