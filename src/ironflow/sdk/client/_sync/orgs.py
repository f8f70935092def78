# Generated from ironflow/sdk/client/features/orgs.py by generate_sync; edit that file.
"""`client.orgs`: what projects belong to."""

from ironflow.features.orgs import contract
from ironflow.features.orgs.contract import Org, Preferences
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing


class Orgs:
    """Organisations. They need a key for all environments."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(self, name: str) -> Org:
        """A new organisation."""
        return self._calls.call(contract.create, contract.CreateOrg(name=name))

    def list(self, *, page_size: int = 1000) -> Listing[Org]:
        """Every organisation by id."""
        return Listing(
            self._calls, contract.list_, contract.ListOrgs(limit=page_size, paged=True), lambda page: page.orgs
        )

    def get(self, org_id: str) -> Org:
        """One organisation. Raises OrgNotFound."""
        return self._calls.call(contract.get, contract.NamedOrg(id=org_id))

    def update(self, org_id: str, *, name: str | None = None, default_timezone: str | None = None) -> Org:
        """Changes what is given. Raises OrgNotFound."""
        preferences = None if default_timezone is None else Preferences(default_timezone=default_timezone)
        request = contract.UpdateOrg(id=org_id, name=name, preferences=preferences)
        return self._calls.call(contract.update, request)

    def delete(self, org_id: str) -> None:
        """Raises OrgNotFound, OrgInUse."""
        self._calls.call(contract.delete, contract.NamedOrg(id=org_id))
