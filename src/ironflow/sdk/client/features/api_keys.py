"""`client.api_keys`: keys of clients and workers, and what they may do."""

from collections.abc import Mapping, Sequence
from typing import Any

from ironflow.features.api_keys import contract
from ironflow.features.api_keys.contract import ApiKey, Explanation, NewApiKey
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class ApiKeys:
    """API keys. The plain text of a key is in the answers of `create` and `rotate` only."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(
        self, name: str, *, roles: Sequence[str] | None = None, environment: str = "", expires_in: str = ""
    ) -> NewApiKey:
        """A new key. Raises KeyExceedsMaker, RoleNotFound, EnvironmentNotFound.

        roles: ids; None for role_developer. environment: the only one it may use. expires_in: such as `90d`.
        """
        request = contract.CreateApiKey(
            name=name, role_ids=None if roles is None else list(roles), env_id=environment, expires_in=expires_in
        )
        return await self._calls.call(contract.create, request)

    def list(self, *, page_size: int = 1000) -> Listing[ApiKey]:
        """Every key by id."""
        request = contract.ListApiKeys(limit=page_size, paged=True)
        return Listing(self._calls, contract.list_, request, lambda page: page.api_keys)

    async def get(self, key_id: str) -> ApiKey:
        """One key. Raises ApiKeyNotFound."""
        return await self._calls.call(contract.get, contract.NamedApiKey(id=key_id))

    async def delete(self, key_id: str) -> None:
        """Revokes a key at once and closes what is open with it. Raises ApiKeyNotFound."""
        await self._calls.call(contract.delete, contract.NamedApiKey(id=key_id))

    async def rotate(self, key_id: str, *, grace: str = "") -> NewApiKey:
        """Replaces the secret of a key. grace: for so long the old one is accepted too, such as `1h`."""
        return await self._calls.call(contract.rotate, contract.RotateApiKey(id=key_id, grace=grace))

    async def set_roles(self, key_id: str, roles: Sequence[str]) -> ApiKey:
        """Replaces the roles of a key. Raises ApiKeyNotFound, RoleNotFound, KeyExceedsMaker."""
        return await self._calls.call(contract.set_roles, contract.SetRoles(id=key_id, role_ids=[*roles]))

    async def explain(
        self,
        action: str,
        *,
        key_id: str = "",
        roles: Sequence[str] = (),
        resource: str = "",
        environment: str = "",
        request: Mapping[str, Any] | None = None,
    ) -> Explanation:
        """Whether a key, or a set of roles, may do something, and the rule that decides it."""
        asked = contract.Explain(
            action=action,
            subject=key_id,
            roles=[*roles],
            resource=resource,
            environment=environment,
            request=dict(request or {}),
        )
        return await self._calls.call(contract.explain, asked)
