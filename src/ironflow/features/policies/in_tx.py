"""What other features read of policies inside their own transactions."""

from ironflow.features.policies import contract, store
from ironflow.features.policies.rules import Decision as Decision
from ironflow.features.policies.rules import Grant as Grant
from ironflow.features.policies.rules import PolicyRow as PolicyRow
from ironflow.features.policies.rules import matches_action as matches_action
from ironflow.features.policies.store import policies as policies
from ironflow.storage.port import Tx

# Notified when what keys may do has changed: the key is `role:ID` or `policy:ID`, or empty.
CHANGED = "access"


def policy(tx: Tx, policy_id: str, orgs: tuple[str, ...] = ()) -> PolicyRow:
    """orgs: those whose policies are looked for, empty for all. Raises PolicyNotFound."""
    found = store.policy(tx, policy_id)
    if found is None or (orgs and found.org_id not in orgs):
        raise contract.PolicyNotFound(f"There is no policy {policy_id!r}.")
    return found
