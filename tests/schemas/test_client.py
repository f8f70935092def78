"""`client.schemas`, where it is more than its operations."""

from ironflow import Client
from ironflow.sdk.client.views import UpcastTrial
from ironflow.testing.app_transport import AppTransport
from tests.support.work import Work


async def test_a_try_of_an_upcast_has_the_data_and_its_steps(server: Work):
    async with Client("http://server", transport=AppTransport(server.inside.app)) as client:
        await client.schemas.register("order/placed", 2, {"type": "object"})
        tried = await client.schemas.test_upcast("order/placed", {"total": 10**20}, 1, 2)
        same = await client.schemas.test_upcast("order/placed", [1], 2, 2)

    assert tried.data == {"total": 10**20}
    assert [(each.from_version, each.to_version) for each in tried.steps_applied] == [(1, 2)]
    assert same == UpcastTrial(data=[1])
