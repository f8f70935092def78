# Generated from ironflow/sdk/client/features/environments.py by generate_sync; edit that file.
"""`client.environments`: walls between the data of one server."""

from ironflow.features.environment_deletions import contract as deletions
from ironflow.features.environment_deletions.contract import Deletion
from ironflow.features.environments import contract
from ironflow.features.environments.contract import Environment, EnvironmentDeleted
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing


class Environments:
    """Environments. `default` is always there."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(self, name: str, *, project: str = "", color: str = "") -> Environment:
        """A new environment. Raises EnvironmentExists, InvalidEnvironment."""
        request = contract.CreateEnvironment(name=name, project_id=project, color=color)
        return self._calls.call(contract.create, request)

    def list(self, *, page_size: int = 1000) -> Listing[Environment]:
        """Every environment that the key may see, `default` first."""
        request = contract.ListEnvironments(limit=page_size, paged=True)
        return Listing(self._calls, contract.list_, request, lambda page: page.environments)

    def get(self, environment: str) -> Environment:
        """One environment by id or name. Raises EnvironmentNotFound."""
        return self._calls.call(contract.get, contract.NamedEnvironment(id=environment))

    def update(self, environment: str, *, name: str | None = None, color: str | None = None) -> Environment:
        """Renames or recolours an environment; its data and keys stay.

        Raises EnvironmentNotFound, EnvironmentExists, EnvironmentFixed.
        """
        request = contract.UpdateEnvironment(id=environment, name=name, color=color)
        return self._calls.call(contract.update, request)

    def delete(self, environment: str, *, with_data: bool = False) -> EnvironmentDeleted:
        """Deletes an environment. Raises EnvironmentNotFound, EnvironmentNotEmpty.

        with_data: with its data and API keys. The keys are revoked at once; how far the data is: `deletion`.
        """
        return self._calls.call(contract.delete, contract.DeleteEnvironment(id=environment, with_data=with_data))

    def deletion(self, environment_id: str) -> Deletion:
        """How far the deletion of an environment is, by its id. Raises DeletionNotFound."""
        return self._calls.call(deletions.get, deletions.NamedDeletion(id=environment_id))

    def deletions(self, *, page_size: int = 1000) -> Listing[Deletion]:
        """Every deletion of an environment, by its id."""
        return Listing(
            self._calls,
            deletions.list_,
            deletions.ListDeletions(limit=page_size, paged=True),
            lambda page: page.deletions,
        )
