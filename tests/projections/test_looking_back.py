"""The state of a projection as of a moment, where it was recorded; and what a fold needs where it was not."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from ironflow.base.time import to_datetime
from ironflow.features.events import contract as emitting
from ironflow.features.projections import contract, looking_back
from ironflow.features.projections.contract import NotRecorded
from tests.support.projections import Runner, a_projection
from tests.support.server import open_server
from tests.support.work import Work, text_of

EVERY = {"projection_history_every_ms": 0}


@pytest.fixture
async def recording(database_url: str) -> AsyncIterator[Work]:
    """A server that keeps every state."""
    async with open_server(Work, database_url, **EVERY) as opened:
        yield opened


async def at(runner: Runner, moment: int, partition: str = "") -> object:
    """The state of that very moment."""
    found = await answered(runner, moment, partition)
    assert found.as_of is not None
    assert found.as_of.exact, found.as_of
    return msgspec.json.decode(found.state.state) if found.state else None


async def answered(runner: Runner, moment: int, partition: str = "") -> contract.Envelope:
    return await runner.server.call(
        contract.envelope, name=runner.name, partition=partition, as_of=text_of(moment), env=runner.env
    )


async def test_the_state_as_of_a_moment_has_folded_what_was_there_then(recording: Work):
    runner = await a_projection(recording)
    moments: list[int] = []
    for _ in range(3):
        moments.append(recording.now)
        await recording.emit("order.placed")
        await runner.save(await runner.poll())
        recording.move(60_000)

    seen = [await at(runner, moment + 30_000) for moment in moments]

    assert seen == [{"seen": list(range(1, n + 1)), "last": None} for n in (1, 2, 3)]
    assert await at(runner, moments[0] - 1) is None
    found = await recording.call(contract.get, name="totals", as_of=text_of(moments[1]))
    assert (msgspec.json.decode(found.state or b"")["seen"], found.state_last_event_seq) == ([1, 2], 2)
    assert found.last_event_time == to_datetime(moments[1])


async def test_between_two_events_of_one_batch_nothing_was_recorded(recording: Work):
    runner = await a_projection(recording)
    started = recording.now
    for _ in range(3):
        await recording.emit("order.placed")
        recording.move(1_000)
    await runner.save(await runner.poll())

    with pytest.raises(NotRecorded, match="none before is kept"):
        await at(runner, started + 500)
    assert (await at(runner, started + 2_000)) == {"seen": [1, 2, 3], "last": None}


async def test_what_is_not_saved_yet_is_not_recorded_either(recording: Work):
    runner = await a_projection(recording)
    await recording.emit("order.placed")
    await runner.save(await runner.poll())
    recording.move(1_000)
    await recording.emit("order.placed")

    nearest = await answered(runner, recording.now)

    first = recording.now - 1_000
    assert nearest.state is not None
    assert nearest.as_of is not None
    assert msgspec.json.decode(nearest.state.state)["seen"] == [1]
    assert nearest.as_of == contract.AsOf(
        moment=to_datetime(recording.now),
        exact=False,
        last_event_seq=1,
        last_event_time=to_datetime(first),
        missing=nearest.as_of.missing,
    )
    assert (nearest.as_of.missing or "").endswith("came in between")


async def test_a_runner_is_given_no_state_of_another_moment(recording: Work):
    """Its answer has no place for the difference."""
    runner = await a_projection(recording)
    await recording.emit("order.placed")
    await runner.save(await runner.poll())
    recording.move(1_000)
    await recording.emit("order.placed")

    with pytest.raises(NotRecorded, match="that of event evt_"):
        await recording.call(contract.get, name="totals", as_of=text_of(recording.now))


async def test_each_partition_is_looked_back_at_alone(recording: Work):
    runner = await a_projection(recording, partition_key="data.c")
    started = recording.now
    for customer in "abab":
        await recording.emit("order.placed", {"c": customer})
        await runner.save(await runner.poll())
        recording.move(1_000)

    assert (await at(runner, started + 1_500, "a"), await at(runner, started + 1_500, "b")) == (
        {"seen": [1], "last": {"c": "a"}},
        {"seen": [2], "last": {"c": "b"}},
    )


async def test_at_most_one_state_in_a_minute_is_kept(server: Work):
    runner = await a_projection(server)
    for _ in range(6):
        await server.emit("order.placed")
        await runner.save(await runner.poll())
        server.move(20_000)

    rows = await server.db.read(lambda tx: tx.rows("SELECT position FROM projection_states ORDER BY position"))

    # The first, the first a minute later, and the newest.
    assert [row[0] for row in rows] == [1, 4, 6]


async def test_states_are_forgotten_when_the_history_does_not_reach_back_so_far(recording: Work):
    runner = await a_projection(recording)
    started = recording.now
    for _ in range(2):
        await recording.emit("order.placed")
        await runner.save(await runner.poll())
        recording.move(1_000)

    recording.move(7 * 86_400_000)
    await recording.loop("projections-forget")

    with pytest.raises(NotRecorded):
        await at(runner, started)
    assert await at(runner, recording.now) == {"seen": [1, 2], "last": None}


async def test_without_a_history_only_the_newest_state_is_kept(database_url: str):
    async with open_server(Work, database_url, projection_history_days=0, **EVERY) as server:
        runner = await a_projection(server)
        for _ in range(3):
            await server.emit("order.placed")
            await runner.save(await runner.poll())
        rows = await server.db.read(lambda tx: tx.rows("SELECT count(*) FROM projection_states"))
    assert rows == [(1,)]


async def test_a_fold_up_to_a_moment_begins_at_the_last_state_recorded_before_it(recording: Work):
    runner = await a_projection(recording)
    await recording.emit("order.placed")
    await runner.save(await runner.poll())
    for _ in range(3):
        recording.move(1_000)
        await recording.emit("order.placed")
    moment = recording.now - 1_000
    await runner.save(await runner.poll())

    start = await recording.call(contract.recorded, name="totals", as_of=text_of(moment))
    rest = await recording.call(contract.events, name="totals", after=start.last_event_seq)

    assert (start.last_event_seq, msgspec.json.decode(start.state)["seen"]) == (1, [1])
    assert [each.seq for each in rest.events] == [2, 3, 4]
    assert rest.searched == rest.head == 4


async def test_a_quiet_partition_of_a_busy_projection_is_looked_back_at(recording: Work):
    """Later events of it are searched for beyond hundreds of others; there are none."""
    runner = await a_projection(recording, partition_key="data.c")
    await recording.emit("order.placed", {"c": "quiet"})
    await runner.save(await runner.poll())
    recording.move(60_000)
    await recording.emit("order.placed", {"c": "quiet"})
    await runner.save(await runner.poll())
    moment = recording.now
    recording.move(60_000)
    for _ in range(8):
        events = [{"event": "order.placed", "data": {"c": "busy"}} for _ in range(100)]
        await recording.call(emitting.emit_batch, events=events)

    assert await at(runner, moment, "quiet") == {"seen": [1, 2], "last": {"c": "quiet"}}
    assert await at(runner, moment - 1, "quiet") == {"seen": [1], "last": {"c": "quiet"}}
    assert await at(runner, moment, "unknown") is None


async def test_a_search_that_takes_too_long_answers_the_last_state_kept_and_its_time(
    recording: Work, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(looking_back, "SEARCH_S", -1.0)
    monkeypatch.setattr(looking_back, "PIECE", 1)
    runner = await a_projection(recording, partition_key="data.c")
    await recording.emit("order.placed", {"c": "quiet"})
    await runner.save(await runner.poll())
    moment = recording.now
    recording.move(1_000)
    for _ in range(30):
        await recording.emit("order.placed", {"c": "busy"})

    nearest = await answered(runner, moment + 500, "quiet")

    assert nearest.state is not None
    assert nearest.as_of is not None
    assert msgspec.json.decode(nearest.state.state)["seen"] == [1]
    assert (nearest.as_of.exact, nearest.as_of.last_event_time) == (False, to_datetime(moment))
    assert "searched for no longer" in (nearest.as_of.missing or "")
