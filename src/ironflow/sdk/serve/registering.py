"""Registers the functions that an endpoint serves."""

from collections.abc import Sequence

from ironflow.sdk.client.client import Client
from ironflow.sdk.client.views import Registered
from ironflow.sdk.serve.handler import ServeHandler
from ironflow.sdk.serve.landing import push_registration


async def register_served(
    handler: ServeHandler, url: str, server_url: str | None, api_key: str | None, environment: str | None
) -> Sequence[Registered]:
    async with Client(server_url, api_key=api_key, environment=environment) as client:
        registered = [
            await client.functions.register(push_registration(each, url)) for each in handler.functions.values()
        ]
        for projection in handler.projections:
            await client.projections.register(projection)
    if handler.projections:
        handler.logger.warning(
            "projections are registered, and a worker must run them",
            extra={"projections": [each.name for each in handler.projections]},
        )
    return registered
