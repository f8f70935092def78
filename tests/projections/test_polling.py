"""A runner polls, folds and saves."""

import msgspec
import pytest

from ironflow.features.projections import contract
from ironflow.features.projections.contract import (
    InvalidProjection,
    InvalidSave,
    LeaseLost,
    ProjectionNotFound,
    StateTooLarge,
    WrongMode,
)
from tests.support.projections import a_projection, partition_of
from tests.support.work import Work


async def test_a_poll_gives_the_projections_events_in_order_and_moves_no_cursor(server: Work):
    runner = await a_projection(server)
    ids = [(await server.emit("order.placed", {"n": n})).event_id for n in range(3)]
    await server.emit("mail.sent", {})

    first, again = await runner.poll(), await runner.poll()

    assert first == again
    assert [(each.id, each.name, each.seq, msgspec.json.decode(each.data or b"")) for each in first] == [
        (ids[n], "order.placed", n + 1, {"n": n}) for n in range(3)
    ]
    assert (await runner.status()).last_event_seq == 0


async def test_a_save_stores_the_state_and_moves_the_cursor(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed", {"n": 1})
    await server.emit("order.paid", {"n": 2})

    await runner.save(await runner.poll())

    assert await runner.shown() == {"seen": [1, 2], "last": {"n": 2}}
    assert (await runner.status()).last_event_seq == 2
    polled = await runner.polled()
    assert (polled.events, polled.last_event_seq) == ([], 2)
    assert msgspec.json.decode(polled.current_state or b"") == {"seen": [1, 2], "last": {"n": 2}}


async def test_a_batch_ends_at_its_size_and_the_next_begins_after_it(server: Work):
    runner = await a_projection(server)
    for n in range(5):
        await server.emit("order.placed", {"n": n})

    sizes = []
    while batch := await runner.poll(2):
        sizes.append(len(batch))
        await runner.save(batch)

    assert sizes == [2, 2, 1]
    assert (await runner.shown())["seen"] == [1, 2, 3, 4, 5]


async def test_a_repeated_save_changes_nothing(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")
    await server.emit("order.placed")
    await runner.save_state({"all": True}, 2)
    before = await server.call(contract.get, name="totals")

    await runner.save_state({"all": False}, 2)
    await runner.save_state({"all": False}, 1)

    assert await server.call(contract.get, name="totals") == before
    assert before.version == 1


async def test_a_save_beyond_the_log_is_refused(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")

    with pytest.raises(InvalidSave, match="last_event_seq is 2; the log ends at 1"):
        await runner.save_state({}, 2)

    assert len(await runner.poll()) == 1


async def test_an_external_projection_acknowledges_and_a_managed_one_saves(server: Work):
    mailer, totals = await a_projection(server, "mailer", mode="external"), await a_projection(server)
    await server.emit("order.placed")
    (event,) = await mailer.poll()

    with pytest.raises(WrongMode):
        await mailer.save_state({}, 1)
    with pytest.raises(WrongMode):
        await totals.ack(event)
    await mailer.ack(event)
    await mailer.ack(event)

    assert (await mailer.poll(), (await mailer.status()).last_event_seq) == ([], 1)
    assert (await totals.status()).last_event_seq == 0


async def test_events_of_streams_are_events_and_messages_and_inputs_are_none(server: Work):
    runner = await a_projection(server, events=[">"])
    await server.a_function(on=None)
    await server.emit("order.placed")
    async with server.http() as client:
        await client.post("/api/v1/topics/publish", json={"topic": "order.placed", "data": 1})
        await client.post("/ironflow.v1.IronflowService/InvokeFunction", json={"functionId": "charge"})

    assert [each.name for each in await runner.poll()] == ["order.placed"]


async def test_an_environment_has_its_own_projections_and_events(server: Work):
    here, there = await a_projection(server), await a_projection(server, env="staging")
    await server.emit("order.placed", 1)
    await server.emit("order.placed", 2, env="staging")

    await here.save(await here.poll())
    await there.save(await there.poll())

    assert (await here.shown(), await there.shown()) == ({"seen": [1], "last": 1}, {"seen": [2], "last": 2})


async def test_registering_again_keeps_cursor_and_state_and_takes_the_new_definition(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")
    await runner.save(await runner.poll())

    again = await server.call(contract.register, name="totals", events=["order.*", "mail.*"], version=2)
    await server.emit("mail.sent")

    assert (again.status, again.last_event_seq) == ("updated", 1)
    assert [each.name for each in await runner.poll()] == ["mail.sent"]
    assert await runner.shown() == {"seen": [1], "last": None}


@pytest.mark.parametrize(
    ("registration", "message"),
    [
        ({"name": "a b"}, "no name of a projection"),
        ({"name": "x" * 129}, "no name of a projection"),
        ({"events": []}, "names 0 events"),
        ({"events": ["a"] * 1 + [f"e{n}" for n in range(100)]}, "names 101 events"),
        ({"events": [""]}, "no event name"),
        ({"mode": "other"}, "mode is 'other'"),
        ({"partition_key": "x" * 257}, "no path"),
    ],
)
async def test_a_registration_that_cannot_be_is_refused(server: Work, registration: dict[str, object], message: str):
    with pytest.raises(InvalidProjection, match=message):
        await server.call(contract.register, **{"name": "totals", "events": ["a"], **registration})


async def test_an_unknown_projection_is_not_found(server: Work):
    for operation, fields in [
        (contract.poll, {}),
        (contract.get, {}),
        (contract.envelope, {}),
        (contract.save, {"state": {}, "last_event_seq": 0}),
        (contract.acquire_lease, {}),
        (contract.status, {}),
        (contract.pause, {}),
        (contract.delete, {}),
    ]:
        with pytest.raises(ProjectionNotFound, match="projection not found"):
            await server.call(operation, name="missing", **fields)


async def test_a_state_that_is_too_large_is_refused_and_nothing_is_lost(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")

    with pytest.raises(StateTooLarge):
        await runner.save_state({"x": "y" * 9 * 1024 * 1024}, 1)

    assert len(await runner.poll()) == 1


async def test_an_answer_with_large_events_is_cut_and_goes_on_after_them(server: Work):
    runner = await a_projection(server)
    megabyte = "x" * 1_000_000
    for n in range(20):
        await server.emit("order.placed", {"n": n, "text": megabyte})

    sizes = []
    while batch := await runner.poll():
        sizes.append(len(batch))
        await runner.save_state({"last": batch[-1].seq}, batch[-1].seq or 0)

    assert sizes == [8, 8, 4]


async def test_the_partition_of_an_event_is_the_scalar_at_its_path(server: Work):
    runner = await a_projection(server, partition_key="$.data.customer.id")
    for data in [
        {"customer": {"id": "c1"}}, {"customer": {"id": 7}}, {"customer": {"id": True}}, {"customer": {"id": None}},
        {"customer": {"id": ""}}, {}, [1], {"customer": {"id": "x" * 600}},
    ]:  # fmt: skip
        await server.emit("order.placed", data, metadata={"by": "me"})

    events = await runner.poll()

    keys = [partition_of(each) for each in events]
    assert keys[:7] == ["c1", "7", "true", "__global__", "__global__", "__global__", "__global__"]
    assert keys[7].startswith("sha256:")
    assert msgspec.json.decode(events[0].metadata or b"") == {"__partition": "c1", "by": "me"}


async def test_events_without_the_partition_key_are_counted_and_warned_of_once(
    server: Work, caplog: pytest.LogCaptureFixture
):
    runner = await a_projection(server, partition_key="data.c")
    counts: list[int] = []
    for data in ({"c": "a"}, {}, {"c": None}):
        await server.emit("order.placed", data)
        await runner.work_off()
        counts.append((await runner.status()).without_key)
    batch_again = await runner.poll()

    assert (counts, batch_again) == ([0, 1, 2], [])
    warned = [each.getMessage() for each in caplog.records if each.name == "ironflow.features.projections.service"]
    assert warned == ["event without the partition key of a projection"]
    # A rebuild counts anew.
    await server.call(contract.rebuild, name="totals")
    await runner.work_off()
    assert (await runner.status()).without_key == 2


async def test_a_crash_between_two_partition_saves_skips_no_event(server: Work):
    runner = await a_projection(server, partition_key="data.c")
    for customer in "abab":
        await server.emit("order.placed", {"c": customer})
    batch = await runner.poll()

    await runner.save(batch, only="b")
    again = [each.seq for each in await runner.poll()]
    cursor_between = (await runner.status()).last_event_seq
    # Another runner goes on.
    successor = await a_projection(server, partition_key="data.c")
    await successor.work_off()

    assert (again, cursor_between) == ([1, 3], 0)
    assert (await runner.shown("a"), await runner.shown("b")) == (
        {"seen": [1, 3], "last": {"c": "a"}},
        {"seen": [2, 4], "last": {"c": "b"}},
    )
    assert (await runner.status()).last_event_seq == 4


async def test_partitions_may_be_saved_in_any_order(server: Work):
    runner = await a_projection(server, partition_key="data.c")
    for customer in "abc":
        await server.emit("order.placed", {"c": customer})
    await runner.poll()

    cursors = []
    for partition, seq in [("c", 3), ("a", 1), ("b", 2)]:
        await runner.save_state({"p": partition}, seq, partition=partition)
        cursors.append((await runner.status()).last_event_seq)

    assert cursors == [0, 1, 3]
    assert await runner.poll() == []


async def test_partitions_with_a_state_are_listed(server: Work):
    runner = await a_projection(server, partition_key="data.c")
    for customer in ["a1", "b1", "a2", "a3"]:
        await server.emit("order.placed", {"c": customer})
    await runner.work_off()

    whole = await server.call(contract.partitions, name="totals")
    page = await server.call(contract.partitions, name="totals", q="a", limit=2)
    rest = await server.call(contract.partitions, name="totals", q="a", limit=2, cursor=page.next_cursor)

    assert (whole.partitions, whole.returned) == (["a1", "a2", "a3", "b1"], 4)
    assert (page.partitions, rest.partitions, rest.next_cursor) == (["a1", "a2"], ["a3"], None)


async def test_one_runner_at_a_time_has_the_lease_and_its_epoch_fences_the_one_before(server: Work):
    first, second = await a_projection(server), await a_projection(server)
    await server.emit("order.placed")
    assert await first.acquire()
    (event,) = await first.poll()

    assert not await second.acquire()
    server.move(30_000)
    assert await second.acquire()

    with pytest.raises(LeaseLost, match="projection lease lost"):
        await first.save([event])
    with pytest.raises(LeaseLost):
        await first.poll()
    with pytest.raises(LeaseLost):
        await server.call(contract.renew_lease, name="totals", lease=first.lease)
    await second.save(await second.poll())
    assert await second.shown() == {"seen": [1], "last": None}


async def test_a_renewed_lease_stays_and_a_released_one_is_free_at_once(server: Work):
    first, second = await a_projection(server), await a_projection(server)
    await first.acquire()

    for _ in range(3):
        server.move(29_000)
        await server.call(contract.renew_lease, name="totals", lease=first.lease)
        assert not await second.acquire()
    await server.call(contract.release_lease, name="totals", lease=first.lease)
    await server.call(contract.release_lease, name="totals", lease=first.lease)
    await server.call(contract.release_lease, name="missing", lease=first.lease)

    assert await second.acquire()
    assert (second.lease or {})["epoch"] > (first.lease or {})["epoch"]


async def test_a_runner_without_a_lease_gets_nothing_and_writes_nothing_beside_one_that_holds_it(server: Work):
    bare, leased = await a_projection(server), await a_projection(server)
    await server.emit("order.placed")
    batch = await bare.poll()
    await leased.acquire()

    with pytest.raises(LeaseLost):
        await bare.save(batch)

    assert (await bare.poll(), len(await leased.poll())) == ([], 1)


async def test_a_paused_projection_is_fed_nothing_until_it_is_resumed(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")

    paused = await server.call(contract.pause, name="totals")
    nothing = await runner.poll()
    shown = (await runner.status()).status
    resumed = await server.call(contract.resume, name="totals")

    assert (paused.status, nothing, shown, resumed.status) == ("paused", [], "paused", "active")
    assert len(await runner.poll()) == 1


async def test_an_event_that_is_never_saved_shows_the_projection_as_failing_and_comes_ever_slower(server: Work):
    runner = await a_projection(server)
    event_id = (await server.emit("order.placed")).event_id
    for _ in range(3):
        assert len(await runner.poll()) == 1
    assert (await runner.status()).status == "active"

    assert len(await runner.poll()) == 1
    failing = await runner.status()
    assert await runner.poll() == []
    server.move(1_000)
    assert len(await runner.poll()) == 1
    server.move(1_000)
    assert await runner.poll() == []

    assert failing.status == "error"
    assert failing.error_message == f"event {event_id} (order.placed) was delivered 4 times and not saved"


@pytest.mark.parametrize("cured_by", ["save", "resume"])
async def test_a_save_of_the_event_or_a_resume_ends_the_error(server: Work, cured_by: str):
    runner = await a_projection(server)
    await server.emit("order.placed")
    batch = []
    for _ in range(4):
        batch = await runner.poll()

    if cured_by == "save":
        await runner.save(batch)
    else:
        await server.call(contract.resume, name="totals")

    cured = await runner.status()
    assert (cured.status, cured.error_message) == ("active", None)
    assert len(await runner.poll()) == (0 if cured_by == "save" else 1)


async def test_lag_counts_the_projections_own_events_after_its_cursor(server: Work):
    runner = await a_projection(server)
    for name in ["order.placed", "mail.sent", "order.placed", "mail.sent"]:
        await server.emit(name)
    before = (await runner.status()).lag
    await runner.save(await runner.poll(1))

    assert (before, (await runner.status()).lag) == (2, 1)


async def test_a_deleted_projection_is_deleted_with_its_states_and_starts_afresh_under_its_name(server: Work):
    runner = await a_projection(server)
    await server.emit("order.placed")
    await runner.work_off()

    deleted = await server.call(contract.delete, name="totals")
    with pytest.raises(ProjectionNotFound):
        await runner.poll()
    again = await a_projection(server)
    await server.loop("projections-forget")

    assert deleted.status == "deleted"
    assert (await again.shown(), len(await again.poll())) == (None, 1)
    left = await server.db.read(lambda tx: tx.rows("SELECT count(*) FROM projection_states"))
    assert left == [(0,)]


async def test_several_partitions_are_saved_together_or_not_at_all(server: Work):
    runner = await a_projection(server, partition_key="data.c")
    for customer in "abab":
        await server.emit("order.placed", {"c": customer})
    await runner.poll()
    a = {"partition_key": "a", "state": {"n": 2}, "last_event_seq": 3}
    b = {"partition_key": "b", "state": {"n": 2}, "last_event_seq": 4}

    for wrong in ([a, {**b, "last_event_seq": 99}], [a, a], []):
        with pytest.raises(InvalidSave):
            await server.call(contract.save_many, name="totals", states=wrong)
    before = (await runner.shown("a"), (await runner.status()).last_event_seq)
    await server.call(contract.save_many, name="totals", states=[b, a])
    await server.call(contract.save_many, name="totals", states=[{**a, "state": {"n": 3}}, b])

    assert before == (None, 0)
    assert (await runner.shown("a"), await runner.shown("b")) == ({"n": 2}, {"n": 2})
    assert ((await runner.status()).last_event_seq, await runner.poll()) == (4, [])


async def test_an_error_stays_while_only_other_partitions_are_saved(server: Work):
    runner = await a_projection(server, partition_key="data.c")
    for customer in "ab":
        await server.emit("order.placed", {"c": customer})
    batch = []
    for _ in range(4):
        batch = await runner.poll()

    await runner.save(batch, only="b")
    still = (await runner.status()).status
    await runner.save(batch, only="a")

    assert (still, (await runner.status()).status) == ("error", "active")
