"""`client.tenants`: organisations with their environments and keys."""

from ironflow.features.tenants import contract
from ironflow.features.tenants.contract import Provisioned, Tenant
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class Tenants:
    """Tenants. They need a key for all environments."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, page_size: int = 1000) -> Listing[Tenant]:
        """Every tenant by id."""
        return Listing(
            self._calls, contract.list_, contract.ListTenants(limit=page_size, paged=True), lambda page: page.tenants
        )

    async def provision(self, name: str, *, environment: str = "") -> Provisioned:
        """A new organisation with a project, an environment and an administrator's key of it, all or none.

        environment: its name, empty for that of the tenant. Raises EnvironmentExists, InvalidEnvironment.
        """
        return await self._calls.call(contract.provision, contract.ProvisionTenant(name=name, env=environment))
