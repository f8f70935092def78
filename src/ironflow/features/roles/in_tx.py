"""What other features read of roles inside their own transactions."""

from collections.abc import Iterable, Mapping, Sequence

from ironflow.base.call import Access, Principal
from ironflow.features.policies import in_tx as policies
from ironflow.features.policies.in_tx import Grant, PolicyRow
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


def can_change(access: Access | None) -> bool:
    """Whether a change of a role or a policy may concern it: it has more than built-in roles."""
    return access is None or any(role not in BUILT_IN for role in access.roles)


def grants_of(principals: Iterable[Principal]) -> dict[Grant, Principal]:
    """What these principals may do, with the principal of each."""
    return {each.access: each for each in principals if isinstance(each.access, Grant)}


def outdated(tx: Tx, held: Mapping[Grant, tuple[tuple[str, ...], str]]) -> set[Grant]:
    """The grants that are no longer so: another organisation, other roles, or roles with other policies.

    held: by grant, the roles and the organisation that its holder has now.
    """
    allowed = _policies_by_roles(tx, {roles for roles, _ in held.values()})
    return {
        grant
        for grant, (roles, org_id) in held.items()
        if grant.org_id != org_id or grant.roles != roles or set(grant.policies) != allowed[roles]
    }


def _policies_by_roles(tx: Tx, sets: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], set[PolicyRow]]:
    """What each set of roles allows and denies; with few statements, however many sets there are."""
    sets = list(sets)
    ids = store.policy_ids_by_role(tx, {role for roles in sets for role in roles if role not in BUILT_IN})
    rows = {each.id: each for each in policies.policies(tx, {each for found in ids.values() for each in found})}
    return {
        roles: {built_in_policy(role) for role in roles if role in BUILT_IN}
        | {rows[each] for role in roles for each in ids.get(role, ()) if each in rows}
        for roles in sets
    }
