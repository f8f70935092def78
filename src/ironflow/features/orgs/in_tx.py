"""What other features do with organisations inside their own transactions."""

from ironflow.features.orgs import contract, store
from ironflow.features.orgs.store import DEFAULT_ID as DEFAULT_ID
from ironflow.features.orgs.store import OrgRow as OrgRow
from ironflow.features.orgs.store import add as add
from ironflow.features.orgs.store import orgs_after as orgs_after
from ironflow.storage.port import Tx


def org(tx: Tx, org_id: str, *, to_write: bool = False) -> OrgRow:
    """Raises OrgNotFound."""
    found = store.org(tx, org_id, to_write=to_write)
    if found is None:
        raise contract.OrgNotFound(f"There is no organisation {org_id[:140]!r}.")
    return found
