# Generated from ironflow/sdk/client/features/orgs.py by generate_sync; edit that file.
"""`client.orgs`: what projects belong to."""

from collections.abc import Iterator

from ironflow.features.orgs import contract
from ironflow.features.orgs.contract import Org, Preferences
from ironflow.sdk.client._sync.calls import Calls


class Orgs:
    """Organisations. They need a key for all environments."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(self, name: str) -> Org:
        """A new organisation."""
        return self._calls.call(contract.create, contract.CreateOrg(name=name))

    def list(self, *, page_size: int = 1000) -> Iterator[Org]:
        """Every organisation by id."""
        for page in self._calls.pages(contract.list_, contract.ListOrgs(limit=page_size, paged=True)):
            for each in page.orgs:
                yield each

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
