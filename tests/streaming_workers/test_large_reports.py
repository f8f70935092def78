"""Reports that are larger than a request or frame may be, with either kind of worker."""

import asyncio
from pathlib import Path

import pytest

from ironflow import Context, function
from ironflow.worker import StreamingWorker, Worker
from tests.push.endpoint import until
from tests.push.serving import listening
from tests.support.server import open_server
from tests.support.work import Work

BYTES_MAX = 1_000_000


@pytest.mark.parametrize("kind", [Worker, StreamingWorker])
async def test_a_report_that_is_too_large_fails_its_run_and_the_worker_goes_on(
    tmp_path: Path, kind: type[Worker] | type[StreamingWorker]
) -> None:
    @function("charge", on="order.placed", checkpoint="batched")
    async def charge(ctx: Context, data: int) -> int:
        made = [ctx.step.run(f"s{n}", lambda: "x" * 400_000) for n in range(data)]
        return len(await asyncio.gather(*made))

    async with (
        open_server(Work, str(tmp_path / "ironflow.db"), body_bytes_max=BYTES_MAX) as server,
        listening(server.inside.app) as address,
        kind(functions=[charge], url=address, clock=server.clock),
    ):
        large, small = [(await server.emit(data=number)).run_ids[0] for number in (4, 1)]
        failed = await until(server, large, "failed")
        completed = await until(server, small, "completed")

    assert failed.error is not None
    assert (failed.error.code, str(BYTES_MAX) in failed.error.message) == ("PAYLOAD_TOO_LARGE", True)
    assert completed.output is not None
    assert bytes(completed.output) == b"1"
