"""Who listens is told of each state that readers see from then on."""

from ironflow.features.projections import contract
from tests.subscriptions.following import following
from tests.support.projections import Runner, a_projection
from tests.support.work import Work


async def test_each_saved_state_is_told_with_its_last_event(house: Work):
    runner = await a_projection(house, partition_key="data.c")
    async with following(house, "system.projection.totals.>") as listener:
        first = (await house.emit("order.placed", {"c": "a"})).event_id
        await house.emit("order.paid", {"c": "b"})
        await runner.save(await runner.poll())
        saved = await listener.next(2)

    assert [each.topic for each in saved] == [
        "system.projection.totals.a.updated",
        "system.projection.totals.b.updated",
    ]
    async with following(house, "system.projection.totals.a.updated") as listener:
        last = (await house.emit("order.paid", {"c": "a"})).event_id
        await runner.save(await runner.poll())
        assert await listener.data() == [
            {"state": {"seen": [1, 3], "last": {"c": "a"}}, "last_event_id": last, "last_event_name": "order.paid"}
        ]
    assert first != last


async def test_what_a_rebuild_saves_is_told_when_readers_see_it(house: Work):
    runner = await a_projection(house)
    for _ in range(3):
        await house.emit("order.placed")
    await runner.work_off()
    await house.call(contract.rebuild, name="totals")
    async with following(house, "system.projection.>") as listener:
        again = Runner(house, "totals")
        await again.work_off(1)
        told = await listener.rest()

    assert [each.topic for each in told] == ["system.projection.totals.__global__.updated"]
    assert b'"seen":[1,2,3]' in told[0].data.encode()
