"""`client.roles`: named sets of policies, which keys have."""

from ironflow.features.roles import contract
from ironflow.features.roles.contract import Role
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class Roles:
    """Roles. `role_admin`, `role_developer` and `role_viewer` are built in and cannot be changed."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(self, name: str) -> Role:
        """A new role, which allows nothing until it has policies."""
        return await self._calls.call(contract.create, contract.CreateRole(name=name))

    def list(self, *, page_size: int = 1000) -> Listing[Role]:
        """Every role, the built-in ones first."""
        request = contract.ListRoles(limit=page_size, paged=True)
        return Listing(self._calls, contract.list_, request, lambda page: page.roles)

    async def get(self, role_id: str) -> Role:
        """One role with its policies. Raises RoleNotFound."""
        return await self._calls.call(contract.get, contract.NamedRole(id=role_id))

    async def rename(self, role_id: str, name: str) -> Role:
        """Renames a role. Raises RoleNotFound, BuiltInRole."""
        return await self._calls.call(contract.rename, contract.RenameRole(id=role_id, name=name))

    async def delete(self, role_id: str) -> None:
        """Deletes a role that no key has. Raises RoleNotFound, BuiltInRole, RoleInUse."""
        await self._calls.call(contract.delete, contract.NamedRole(id=role_id))

    async def assign_policy(self, role_id: str, policy_id: str) -> None:
        """Gives a role a policy. Raises RoleNotFound, BuiltInRole, PolicyNotFound."""
        await self._calls.call(contract.assign_policy, contract.RolePolicy(id=role_id, policy_id=policy_id))

    async def remove_policy(self, role_id: str, policy_id: str) -> None:
        """Takes a policy from a role. Raises RoleNotFound, BuiltInRole."""
        await self._calls.call(contract.remove_policy, contract.RolePolicy(id=role_id, policy_id=policy_id))
