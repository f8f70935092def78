"""The SDK's runner on a whole server: whatever happens to it, the state is the fold of the log."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ironflow.base.errors import ConnectionLost, DeadlineExceeded, IronflowError, Unimplemented
from ironflow.features.projections import contract, feeder
from ironflow.projection import ProjectionDefinition, ProjectionEvent, ProjectionRunner, RunnerTiming, create_projection
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.projection_state import state_as_of
from ironflow.sdk.wire.transport import Answer
from ironflow.testing.app_transport import AppTransport
from ironflow.worker import Worker, function
from tests.support.server import open_server
from tests.support.work import Work

QUICK = RunnerTiming(standby=0.02, retry=0.01, retry_max=0.02, renew_retry=0.01, empty=0.005, empty_max=0.01, flush=5.0)
STATE = {"seen": []}


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feeder, "LOOK_AGAIN_S", 0.02)


def listing(state: Any, event: ProjectionEvent) -> Any:
    """Every event's place, in order: a missing, a second or a misplaced one shows."""
    return {"seen": [*state["seen"], event.seq]}


def totals(**more: Any) -> ProjectionDefinition:
    given = {"name": "totals", "events": ["order.*"], "initial_state": STATE, "handler": listing, "batch_size": 5}
    return create_projection(**given | more)


class Faulty(AppTransport):
    """A network that can break: `fault` is asked before and after each request, with its path."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.before: Callable[[str], None] = lambda path: None
        self.after: Callable[[str], None] = lambda path: None

    async def request(self, method: str, path: str, headers: Any, body: bytes | None, timeout: float) -> Answer:
        self.before(path)
        answer = await super().request(method, path, headers, body, timeout)
        self.after(path)
        return answer


@asynccontextmanager
async def running(server: Work, definition: ProjectionDefinition, **more: Any) -> AsyncIterator[ProjectionRunner]:
    transport = more.pop("transport", None) or AppTransport(server.inside.app)
    async with ProjectionRunner(definition, transport=transport, timing=QUICK, **more) as runner:
        yield runner


def a_client(server: Work) -> Client:
    return Client(transport=AppTransport(server.inside.app))


@asynccontextmanager
async def looping(server: Work, name: str) -> AsyncIterator[None]:
    """The server's loop of that name runs again and again."""

    async def run() -> None:
        while True:
            await server.loop(name)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def caught_up(server: Work, name: str = "totals", partition: str = "") -> Any:
    """The state when everything in the log is saved."""
    client = a_client(server)
    async with asyncio.timeout(20):
        while True:
            try:
                if (await client.projections.wait(name, timeout="1s")).caught_up:
                    return (await client.projections.get(name, partition=partition)).state
            except (contract.ProjectionNotFound, contract.NotWaitable):
                # Not registered yet, or being rebuilt.
                await asyncio.sleep(0.01)


async def rebuilt(server: Work) -> None:
    """Returns when the new version has taken over."""
    async with asyncio.timeout(20):
        while (await a_client(server).projections.status("totals")).status == "rebuilding":
            await server.loop("projections-rebuilds")
            await asyncio.sleep(0.01)


async def emit(server: Work, count: int, **data: Any) -> None:
    for n in range(count):
        await server.emit("order.placed", {"n": n, **data})


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_runner_folds_what_was_there_and_what_comes(server: Work, streaming: bool):
    await emit(server, 12)
    async with running(server, totals(), streaming=streaming):
        before = await caught_up(server)
        await emit(server, 3)
        after = await caught_up(server)

    assert before == {"seen": list(range(1, 13))}
    assert after == {"seen": list(range(1, 16))}


async def test_a_runner_falls_back_to_polls_where_streams_are_unknown(server: Work):
    await emit(server, 3)

    class NoStreams(AppTransport):
        def stream(self, method: str, path: str, headers: Any, body: bytes, timeout: float) -> Any:
            return super().stream(method, f"{path}Unknown", headers, body, timeout)

    async with running(server, totals(), transport=NoStreams(server.inside.app)):
        assert await caught_up(server) == {"seen": [1, 2, 3]}


async def test_partitions_have_states_of_their_own_also_after_a_restart(server: Work):
    definition = totals(partition_key="data.c")
    for customer in "abcab":
        await emit(server, 1, c=customer)
    async with running(server, definition):
        await caught_up(server)
    for customer in "ca":
        await emit(server, 1, c=customer)
    async with running(server, definition):
        states = [await caught_up(server, partition=each) for each in "abc"]

    assert states == [{"seen": [1, 4, 7]}, {"seen": [2, 5]}, {"seen": [3, 6]}]


async def test_an_external_runner_delivers_in_order_and_acknowledges(server: Work):
    seen: list[int] = []

    async def deliver(event: ProjectionEvent) -> None:
        seen.append(event.seq)

    await emit(server, 7)
    async with running(server, create_projection(name="mailer", events=["order.*"], handler=deliver)):
        await caught_up(server, "mailer")

    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_a_handler_that_raises_holds_nothing_but_its_own_event_up(server: Work):
    failing = True
    faults: list[IronflowError] = []
    reported = asyncio.Event()

    def report(fault: IronflowError) -> None:
        faults.append(fault)
        reported.set()

    def sometimes(state: Any, event: ProjectionEvent) -> Any:
        if event.seq == 4 and failing:
            raise ValueError("not yet")
        return listing(state, event)

    await emit(server, 6)
    definition = totals(handler=sometimes, max_retries=1)
    async with running(server, definition, on_error=report):
        await asyncio.wait_for(reported.wait(), 20)
        stuck = (await a_client(server).projections.get("totals")).state
        failing = False
        server.move(60_000)
        state = await caught_up(server)

    assert (stuck, state) == ({"seen": [1, 2, 3]}, {"seen": [1, 2, 3, 4, 5, 6]})
    assert "ValueError: not yet" in faults[0].message


async def test_a_feed_goes_on_when_its_callback_fails(server: Work, capsys: pytest.CaptureFixture[str]):
    failures = 2

    def fail(fault: IronflowError) -> None:
        raise RuntimeError("mine")

    def sometimes(state: Any, event: ProjectionEvent) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise ValueError("not yet")
        return listing(state, event)

    await emit(server, 2)
    async with running(server, totals(handler=sometimes, max_retries=0), on_error=fail) as runner:
        server.move(60_000)
        assert await caught_up(server) == {"seen": [1, 2]}
        assert runner
    assert "RuntimeError: mine" in capsys.readouterr().err


# The points of a runner's cycle at which it is cut off: before its save left, and after the server has it.
POINTS = ["GetProjection", "totals/states", "RenewProjectionLease", "AcquireProjectionLease"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_network_that_breaks_at_any_point_costs_nothing(server: Work, point: str, when: str):
    transport = Faulty(server.inside.app)
    breaks = iter([True, False, True, True] + [False] * 1000)

    def broken(path: str) -> None:
        if path.endswith(point) and next(breaks):
            raise ConnectionLost("the network is gone")

    setattr(transport, when, broken)
    definition = totals(partition_key="data.c")
    for customer in "abcabcab":
        await emit(server, 1, c=customer)
    async with running(server, definition, transport=transport):
        # A lease whose grant never arrived belongs to no runner until its time is over.
        passing = asyncio.ensure_future(time_passes(server))
        states = [await caught_up(server, partition=each) for each in "abc"]
        passing.cancel()
        await asyncio.wait([passing])

    assert states == [{"seen": [1, 4, 7]}, {"seen": [2, 5, 8]}, {"seen": [3, 6]}]


async def time_passes(server: Work) -> None:
    while True:
        await asyncio.sleep(0.05)
        server.move(1_000)


SAVES = {True: "totals/states", False: "SaveProjectionState"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("together", "nth"), [(True, 0), (True, 1), *((False, nth) for nth in range(6))])
async def test_a_runner_killed_at_any_save_is_followed_by_one_that_ends_with_the_same_states(
    server: Work, together: bool, nth: int, when: str
):
    definition = totals(partition_key="data.c", batch_size=4)
    for customer in "abcaabbc":
        await emit(server, 1, c=customer)
    transport = Faulty(server.inside.app)
    saves = iter(range(1000))
    dead = asyncio.Event()

    def kill(path: str) -> None:
        if path.endswith(SAVES[together]) and (next(saves) == nth or dead.is_set()):
            dead.set()
            raise ConnectionLost("killed")

    def refuse(path: str) -> None:
        if not together and path.endswith(SAVES[True]):
            # A server that saves one partition at a time.
            raise Unimplemented
        if when == "before":
            kill(path)

    transport.before = refuse
    if when == "after":
        transport.after = kill
    runner = ProjectionRunner(definition, transport=transport, timing=QUICK)
    await runner.start()
    async with asyncio.timeout(20):
        await dead.wait()
    # Nothing is flushed and nothing released, as when the process is gone.
    await abandon(runner)
    server.move(30_000)
    async with running(server, definition):
        states = [await caught_up(server, partition=each) for each in "abc"]

    assert states == [{"seen": [1, 4, 5]}, {"seen": [2, 6, 7]}, {"seen": [3, 8]}]


async def abandon(runner: ProjectionRunner) -> None:
    runner._protocol.release = nothing  # pyright: ignore[reportPrivateUsage]
    await runner.stop(flush=0)


async def nothing() -> None:
    """What a process that is gone says."""


async def test_a_standby_takes_over_when_the_lease_of_the_other_ends(server: Work):
    await emit(server, 2)
    async with AsyncExitStack() as stack:
        first = ProjectionRunner(totals(), transport=AppTransport(server.inside.app), timing=QUICK)
        await first.start()
        await caught_up(server)
        await stack.enter_async_context(running(server, totals()))
        await abandon(first)
        await emit(server, 3)
        unread = (await a_client(server).projections.status("totals")).lag

        server.move(30_000)
        state = await caught_up(server)

    assert (unread, state) == (3, {"seen": [1, 2, 3, 4, 5]})


async def test_a_runner_that_ends_in_good_order_is_followed_at_once(server: Work):
    async with running(server, totals()):
        await emit(server, 1)
        await caught_up(server)
    async with running(server, totals()):
        await emit(server, 1)
        assert await caught_up(server) == {"seen": [1, 2]}


async def test_of_two_runners_one_works_and_no_event_is_folded_twice(server: Work):
    async with running(server, totals()) as one, running(server, totals()) as two:
        await emit(server, 30)
        state = await caught_up(server)

    assert state == {"seen": list(range(1, 31))}
    assert sorted([one.events_done, two.events_done]) == [0, 30]


async def test_a_rebuild_under_traffic_ends_with_the_fold_of_the_log(server: Work):
    client = a_client(server)
    await emit(server, 20)
    async with running(server, totals()):
        await caught_up(server)
        job = await client.projections.rebuild("totals")
        await emit(server, 15)
        await rebuilt(server)
        state = await caught_up(server)

    done = await client.projections.rebuild_job("totals")
    assert state == {"seen": list(range(1, 36))}
    assert done is not None
    assert (done.job_id, done.status) == (job.job_id, "completed")


async def test_a_rebuild_can_be_waited_for(server: Work):
    client = a_client(server)
    await emit(server, 20)
    async with running(server, totals()):
        await caught_up(server)
        async with looping(server, "projections-rebuilds"):
            done = await client.projections.rebuild("totals", wait=True, timeout="60s")
        last = await client.projections.rebuild_job("totals")
    assert (done.status, last is not None and last.status) == ("completed", "completed")
    assert (await client.projections.rebuild("totals", dry_run=True, wait=True)).status == "dry_run_ok"
    # No runner folds.
    with pytest.raises(DeadlineExceeded, match=r"'totals' is not rebuilt after 0\.2 s"):
        await client.projections.rebuild("totals", wait=True, timeout=0.2)


async def test_one_partition_is_rebuilt_by_a_runner_that_goes_on(server: Work):
    client = a_client(server)
    for customer in "abab":
        await emit(server, 1, c=customer)
    async with running(server, totals(partition_key="data.c")):
        await caught_up(server)
        await client.projections.rebuild("totals", partition="a")
        await emit(server, 1, c="a")
        await rebuilt(server)
        states = [await caught_up(server, partition=each) for each in "ab"]

    assert states == [{"seen": [1, 3, 5]}, {"seen": [2, 4]}]


async def test_a_deleted_projection_is_registered_and_folded_again(server: Work):
    client = a_client(server)
    await emit(server, 3)
    async with running(server, totals()):
        await caught_up(server)
        await client.projections.delete("totals")
        state = await caught_up(server)
    assert state == {"seen": [1, 2, 3]}


async def test_a_paused_projection_waits_and_goes_on(server: Work):
    client = a_client(server)
    async with running(server, totals()):
        await emit(server, 2)
        await caught_up(server)
        assert await client.projections.pause("totals") == "paused"
        await emit(server, 2)
        assert (await client.projections.status("totals")).lag == 2
        assert await client.projections.resume("totals") == "active"
        assert await caught_up(server) == {"seen": [1, 2, 3, 4]}


async def test_events_of_a_megabyte_are_folded(server: Work):
    def measuring(state: Any, event: ProjectionEvent) -> Any:
        return {"bytes": state["bytes"] + len(event.data["text"])}

    for _ in range(20):
        await server.emit("order.placed", {"text": "x" * 1_000_000})
    async with running(server, totals(initial_state={"bytes": 0}, handler=measuring, batch_size=100)):
        assert await caught_up(server) == {"bytes": 20_000_000}


async def test_states_of_many_megabytes_are_saved_in_several_requests(server: Work):
    def keeping(state: Any, event: ProjectionEvent) -> Any:
        return {"text": event.data["text"], "seen": [*state.get("seen", []), event.seq]}

    for customer in "abcdefgh":
        await server.emit("order.placed", {"c": customer, "text": customer * 900_000})
    definition = totals(initial_state={}, handler=keeping, partition_key="data.c", batch_size=100)
    transport = Faulty(server.inside.app)
    saves: list[str] = []
    transport.before = lambda path: saves.append(path) if path.endswith("totals/states") else None
    async with running(server, definition, transport=transport):
        states = [await caught_up(server, partition=each) for each in "abcdefgh"]

    assert [state["seen"] for state in states] == [[n] for n in range(1, 9)]
    assert len(saves) == 2


async def test_a_worker_runs_projections_beside_functions_and_alone(server: Work):
    @function("greet", on="order.placed")
    async def greet(ctx: Any) -> str:
        return "hello"

    transport = AppTransport(server.inside.app)
    async with Worker([greet], projections=[totals()], transport=transport, projection_timing=QUICK):
        await emit(server, 1)
        both = await caught_up(server)
    async with Worker(projections=[totals()], transport=transport, projection_timing=QUICK):
        await emit(server, 1)
        alone = await caught_up(server)

    assert (both, alone) == ({"seen": [1]}, {"seen": [1, 2]})


async def test_a_worker_has_started_when_the_server_knows_its_projections(server: Work):
    transport = Faulty(server.inside.app)
    tries: list[str] = []

    def refuse_twice(path: str) -> None:
        if path.endswith("/RegisterProjection"):
            tries.append(path)
            if len(tries) <= 2:
                raise ConnectionLost("the network is gone")

    transport.before = refuse_twice
    async with Worker(projections=[totals()], transport=transport, projection_timing=QUICK):
        assert len(tries) == 3
        assert (await a_client(server).projections.status("totals")).name == "totals"


async def test_a_projection_that_the_server_refuses_ends_the_worker(server: Work):
    @function("greet", on="order.placed")
    async def greet(ctx: Any) -> str:
        return "hello"

    transport = AppTransport(server.inside.app)
    for functions in ([], [greet]):
        worker = Worker(functions, projections=[totals(name="a b")], transport=transport, projection_timing=QUICK)
        with pytest.raises(contract.InvalidProjection, match="no name of a projection"):
            await worker.start()


async def test_a_registration_that_the_server_refuses_ends_the_runner(server: Work):
    runner = ProjectionRunner(totals(name="a b"), transport=AppTransport(server.inside.app), timing=QUICK)
    with pytest.raises(contract.InvalidProjection, match="no name of a projection"):
        await runner.serve()


async def test_the_state_as_of_any_moment_is_folded_where_it_was_not_recorded(database_url: str):
    async with open_server(Work, database_url) as server:
        client, definition = a_client(server), totals()
        moments: list[int] = []
        for _ in range(6):
            moments.append(server.now)
            await emit(server, 1)
            server.move(1_000)
        async with running(server, definition):
            await caught_up(server)

        states = [await state_as_of(client, definition, moment_of(at + 500)) for at in moments]
        before = await state_as_of(client, definition, moment_of(moments[0] - 1))

    assert states == [{"seen": list(range(1, n + 1))} for n in range(1, 7)]
    assert before is None


def moment_of(at: int) -> Any:
    from ironflow.base.time import to_datetime

    return to_datetime(at)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("partition", ["", "a"])
async def test_what_readers_see_is_fed_and_waited_for_while_it_is_built_anew(
    server: Work, streaming: bool, partition: str
):
    held = asyncio.Event()
    held.set()

    async def slow(state: Any, event: ProjectionEvent) -> Any:
        # Only the version that is built is given these events again.
        if event.seq <= 5:
            await held.wait()
        return listing(state, event)

    definition = totals(handler=slow, **({"partition_key": "data.c"} if partition else {}))
    await emit(server, 5, c="a")
    client = a_client(server)
    async with running(server, definition, streaming=streaming):
        await caught_up(server)
        held.clear()
        await client.projections.rebuild("totals", partition=partition)
        await emit(server, 3, c="a")

        waited = await client.projections.wait("totals", timeout="20s")
        during = (await client.projections.get("totals", partition=partition)).state
        held.set()
        await rebuilt(server)
        after = (await client.projections.get("totals", partition=partition)).state
        await emit(server, 2, c="a")
        at_last = await caught_up(server, partition=partition)

    assert (waited.caught_up, waited.rebuilding) == (True, True)
    assert (during, after) == ({"seen": list(range(1, 9))},) * 2
    assert at_last == {"seen": list(range(1, 11))}
