"""A listener receives each state that readers see from then on."""

from ironflow.features.projections import contract
from tests.subscriptions.following import following
from tests.support.projections import Runner, a_projection
from tests.support.work import Work


async def test_each_saved_state_is_published_with_its_last_event(server: Work):
    runner = await a_projection(server, partition_key="data.c")
    async with following(server, "system.projection.totals.>") as listener:
        first = (await server.emit("order.placed", {"c": "a"})).event_id
        await server.emit("order.paid", {"c": "b"})
        await runner.save(await runner.poll())
        saved = await listener.next(2)

    assert [each.topic for each in saved] == [
        "system.projection.totals.a.updated",
        "system.projection.totals.b.updated",
    ]
    async with following(server, "system.projection.totals.a.updated") as listener:
        last = (await server.emit("order.paid", {"c": "a"})).event_id
        await runner.save(await runner.poll())
        assert await listener.data() == [
            {"state": {"seen": [1, 3], "last": {"c": "a"}}, "last_event_id": last, "last_event_name": "order.paid"}
        ]
    assert first != last


async def test_what_a_rebuild_saves_is_published_when_readers_see_it(server: Work):
    runner = await a_projection(server)
    for _ in range(3):
        await server.emit("order.placed")
    await runner.work_off()
    await server.call(contract.rebuild, name="totals")
    async with following(server, "system.projection.>") as listener:
        again = Runner(server, "totals")
        await again.work_off(1)
        published = await listener.rest()

    assert [each.topic for each in published] == ["system.projection.totals.__global__.updated"]
    assert b'"seen":[1,2,3]' in published[0].data.encode()
