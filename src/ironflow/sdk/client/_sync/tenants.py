# Generated from ironflow/sdk/client/features/tenants.py by generate_sync; edit that file.
"""`client.tenants`: organisations with their environments and keys."""

from collections.abc import Iterator

from ironflow.features.tenants import contract
from ironflow.features.tenants.contract import Provisioned, Tenant
from ironflow.sdk.client._sync.calls import Calls


class Tenants:
    """Tenants. They need a key for all environments."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, page_size: int = 1000) -> Iterator[Tenant]:
        """Every tenant by id."""
        for page in self._calls.pages(contract.list_, contract.ListTenants(limit=page_size, paged=True)):
            for each in page.tenants:
                yield each

    def provision(self, name: str, *, environment: str = "") -> Provisioned:
        """A new organisation with a project, an environment and an administrator's key of it, all or none.

        environment: its name, empty for that of the tenant. Raises EnvironmentExists, InvalidEnvironment.
        """
        return self._calls.call(contract.provision, contract.ProvisionTenant(name=name, env=environment))
