"""What happens: one method for each operation of the feature."""

from collections.abc import Callable, Mapping
from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.operation import Operation
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.policies import in_tx as policies
from ironflow.features.policies.service import (
    DEFAULT_ORG,
    check_all_environments,
    check_unlimited,
    org_of,
    orgs_seen,
)
from ironflow.features.roles import contract, rules, store
from ironflow.features.roles.rules import BUILT_IN, RoleRow
from ironflow.storage.port import Database, Tx

# How many API keys of an environment have each role, or of all environments when it is empty.
CountKeys = Callable[[Tx, str], Mapping[str, int]]


class Roles:
    """Sets of policies. count_keys: given by the feature of the keys, which knows this one."""

    def __init__(self, db: Database, ids: Ids, count_keys: CountKeys) -> None:
        self._db, self._ids, self._count_keys = db, ids, count_keys

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.rename: self.rename,
            contract.delete: self.delete,
            contract.assign_policy: self.assign_policy,
            contract.remove_policy: self.remove_policy,
        }

    async def create(self, call: Call, request: contract.CreateRole) -> contract.Role:
        check_all_environments(call, "roles")
        role = RoleRow(self._ids.new("role"), request.org_id or org_of(call), request.name, call.now)

        def change(tx: Tx) -> None:
            store.add(tx, role)
            _note(tx, call, contract.create, request, "role.created", role)

        await self._db.write(change)
        return _message(role, 0, [])

    async def list_(self, call: Call, request: contract.ListRoles) -> contract.Roles:
        def look(tx: Tx) -> contract.Roles:
            counts = self._count_keys(tx, call.principal.environment or "")
            found = store.roles_after(tx, request.org_id, request.cursor, request.limit, orgs_seen(call))
            more = found[-1].id if len(found) == request.limit else None
            built_in = [] if request.cursor else rules.built_in_roles(request.org_id or DEFAULT_ORG)
            roles = [
                _message(each, counts.get(each.id, 0), store.policy_ids(tx, [each.id])) for each in [*built_in, *found]
            ]
            return contract.Roles(roles=roles, next_cursor=more)

        return await self._db.read(look)

    async def get(self, call: Call, request: contract.NamedRole) -> contract.Role:
        def look(tx: Tx) -> contract.Role:
            counts = self._count_keys(tx, call.principal.environment or "")
            for each in rules.built_in_roles(DEFAULT_ORG):
                if each.id == request.id:
                    return _message(each, counts.get(each.id, 0), [])
            role = _own(tx, request.id, orgs=orgs_seen(call))
            return _message(role, counts.get(role.id, 0), store.policy_ids(tx, [role.id]))

        return await self._db.read(look)

    async def rename(self, call: Call, request: contract.RenameRole) -> contract.Role:
        check_all_environments(call, "roles")
        check_unlimited(call, "Roles")

        def change(tx: Tx) -> contract.Role:
            role = _own(tx, request.id, to_write=True)
            store.rename(tx, role.id, request.name)
            _note(tx, call, contract.rename, request, "role.renamed", role, new_name=request.name)
            count = self._count_keys(tx, "").get(role.id, 0)
            return _message(role._replace(name=request.name), count, store.policy_ids(tx, [role.id]))

        return await self._db.write(change)

    async def delete(self, call: Call, request: contract.NamedRole) -> None:
        check_all_environments(call, "roles")
        check_unlimited(call, "Roles")

        def change(tx: Tx) -> None:
            role = _own(tx, request.id, to_write=True)
            count = self._count_keys(tx, "").get(role.id, 0)
            if count:
                keys = "API key has" if count == 1 else "API keys have"
                raise contract.RoleInUse(f"{count} {keys} the role {role.name!r}. Give other roles first.")
            store.delete(tx, role.id)
            _note(tx, call, contract.delete, request, "role.deleted", role)
            tx.notify(policies.CHANGED, f"role:{role.id}")

        await self._db.write(change)

    async def assign_policy(self, call: Call, request: contract.RolePolicy) -> None:
        check_all_environments(call, "roles")
        check_unlimited(call, "Roles")

        def change(tx: Tx) -> None:
            role = _own(tx, request.id, to_write=True)
            policy = policies.policy(tx, request.policy_id)
            store.assign(tx, role.id, policy.id)
            _note(tx, call, contract.assign_policy, request, "role.policy_assigned", role, policy_id=policy.id)
            tx.notify(policies.CHANGED, f"role:{role.id}")

        await self._db.write(change)

    async def remove_policy(self, call: Call, request: contract.RolePolicy) -> None:
        check_all_environments(call, "roles")
        check_unlimited(call, "Roles")

        def change(tx: Tx) -> None:
            role = _own(tx, request.id, to_write=True)
            store.remove(tx, role.id, request.policy_id)
            _note(tx, call, contract.remove_policy, request, "role.policy_removed", role, policy_id=request.policy_id)
            tx.notify(policies.CHANGED, f"role:{role.id}")

        await self._db.write(change)


def _note(
    tx: Tx, call: Call, operation: Operation[Any, Any], request: Any, event_type: str, role: RoleRow, **details: Any
) -> None:
    summary = f"role {role.name!r}: {event_type.partition('.')[2].replace('_', ' ')}"
    audit_notes.record(tx, call, operation, request, event_type, summary, role_id=role.id, name=role.name, **details)


def _own(tx: Tx, role_id: str, *, to_write: bool = False, orgs: tuple[str, ...] = ()) -> RoleRow:
    """A role that is not built in, of one of `orgs`, or of any when it is empty. Raises BuiltInRole, RoleNotFound."""
    if role_id in BUILT_IN:
        raise contract.BuiltInRole(f"{role_id!r} is built in. Make a role of your own with the policies that you need.")
    found = store.role(tx, role_id, to_write=to_write)
    if found is None or (orgs and found.org_id not in orgs):
        raise contract.RoleNotFound(f"There is no role {role_id!r}.")
    return found


def _message(role: RoleRow, api_key_count: int, policy_ids: list[str]) -> contract.Role:
    return contract.Role(
        id=role.id,
        org_id=role.org_id,
        name=role.name,
        is_default=role.id in BUILT_IN,
        created_at=to_datetime(role.created_at),
        api_key_count=api_key_count,
        policies=policy_ids,
    )
