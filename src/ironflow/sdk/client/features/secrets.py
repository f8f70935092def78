"""`client.secrets`: values that only functions read, by `ctx.secrets`."""

from ironflow.features.secrets import contract
from ironflow.features.secrets.contract import Rekeyed, Secret
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class Secrets:
    """Secrets of an environment. No method returns a value."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def set(self, name: str, value: str, *, description: str | None = None) -> Secret:
        """Replaces the value; creates the secret when there is none. description: None leaves the one that is there.

        Raises InvalidSecret, MasterKeyMissing.
        """
        request = contract.SetSecret(name=name, value=value, description=description)
        return await self._calls.call(contract.set_, request)

    async def create(self, name: str, value: str, *, description: str = "") -> Secret:
        """A new secret. Raises SecretExists, InvalidSecret, MasterKeyMissing."""
        request = contract.CreateSecret(name=name, value=value, description=description)
        return await self._calls.call(contract.create, request)

    async def update(self, name: str, *, new_name: str | None = None, description: str | None = None) -> Secret:
        """Renames or describes a secret; its value stays. Raises SecretNotFound, SecretExists, InvalidSecret."""
        request = contract.ChangeSecret(secret=name, name=new_name, description=description)
        return await self._calls.call(contract.change, request)

    async def get(self, name: str) -> Secret:
        """A secret without its value. Raises SecretNotFound."""
        return await self._calls.call(contract.get, contract.NamedSecret(name=name))

    def list(self, *, page_size: int = 1000) -> Listing[Secret]:
        """Every secret by name, without values."""
        return Listing(
            self._calls, contract.list_, contract.ListSecrets(limit=page_size, paged=True), lambda page: page.secrets
        )

    async def delete(self, name: str) -> None:
        """Raises SecretNotFound."""
        await self._calls.call(contract.delete, contract.NamedSecret(name=name))

    async def rekey(self) -> Rekeyed:
        """Encrypts the secrets of all environments anew, under the first of the server's master keys.

        It can be repeated after an interruption. Raises MasterKeyMissing.
        """
        return await self._calls.call(contract.rekey, contract.Rekey())
