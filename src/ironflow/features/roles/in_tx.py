"""What other features read of roles inside their own transactions."""

from collections.abc import Sequence

from ironflow.features.policies import in_tx as policies
from ironflow.features.policies.in_tx import PolicyRow
from ironflow.features.roles import contract, store
from ironflow.features.roles.rules import ADMIN as ADMIN
from ironflow.features.roles.rules import BUILT_IN as BUILT_IN
from ironflow.features.roles.rules import DEVELOPER as DEVELOPER
from ironflow.features.roles.rules import VIEWER as VIEWER
from ironflow.features.roles.rules import built_in_policy
from ironflow.features.roles.rules import gives_all as gives_all
from ironflow.storage.port import Tx


def check_roles(tx: Tx, role_ids: Sequence[str], orgs: tuple[str, ...] = ()) -> None:
    """Raises RoleNotFound for the first that does not exist. orgs: those whose roles count, empty for all."""
    for role_id in role_ids:
        if role_id in BUILT_IN:
            continue
        role = store.role(tx, role_id)
        if role is None or (orgs and role.org_id not in orgs):
            raise contract.RoleNotFound(f"There is no role {role_id!r}.")


def policies_of(tx: Tx, role_ids: Sequence[str]) -> list[PolicyRow]:
    """What these roles allow and deny; a built-in role is one policy. Roles that were deleted have none."""
    own = (
        policies.policies(tx, store.policy_ids(tx, role_ids)) if any(each not in BUILT_IN for each in role_ids) else []
    )
    return [*(built_in_policy(each) for each in role_ids if each in BUILT_IN), *own]
