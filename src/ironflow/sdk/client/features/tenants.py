"""`client.tenants`: organisations with their environments and keys."""

from collections.abc import AsyncIterator

from ironflow.features.tenants import contract
from ironflow.features.tenants.contract import Provisioned, Tenant
from ironflow.sdk.client.connection.calls import Calls


class Tenants:
    """Tenants. They need a key for all environments."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def list(self, *, page_size: int = 1000) -> AsyncIterator[Tenant]:
        """Every tenant by id."""
        async for page in self._calls.pages(contract.list_, contract.ListTenants(limit=page_size, paged=True)):
            for each in page.tenants:
                yield each

    async def provision(self, name: str, *, environment: str = "") -> Provisioned:
        """A new organisation with a project, an environment and an administrator's key of it, all or none.

        environment: its name, empty for that of the tenant. Raises EnvironmentExists, InvalidEnvironment.
        """
        return await self._calls.call(contract.provision, contract.ProvisionTenant(name=name, env=environment))
