"""What is remembered of roles and of the policies that they have."""

from collections.abc import Iterable

from ironflow.features.roles.rules import RoleRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(RoleRow._fields)
INSERT = f"INSERT INTO roles ({_COLUMNS}) VALUES (:id, :org_id, :name, :created_at)"
ONE = f"SELECT {_COLUMNS} FROM roles WHERE id = :id"
AFTER = f"""SELECT {_COLUMNS} FROM roles
WHERE id > :cursor AND (:org_id = '' OR org_id = :org_id)
AND (:all = 1 OR org_id IN {{each:orgs}}) ORDER BY id LIMIT :limit"""
RENAME = "UPDATE roles SET name = :name WHERE id = :id"
DELETE = "DELETE FROM roles WHERE id = :id"
DELETE_POLICIES = "DELETE FROM role_policies WHERE role_id = :id"
# Policies that were deleted leave their row here; ids are not used again.
POLICY_IDS = """SELECT p.id FROM role_policies r JOIN policies p ON p.id = r.policy_id
WHERE r.role_id IN {each:roles} ORDER BY p.id"""
POLICY_IDS_BY_ROLE = "SELECT role_id, policy_id FROM role_policies WHERE role_id IN {each:roles}"
ASSIGN = """INSERT INTO role_policies (role_id, policy_id) VALUES (:id, :policy_id)
ON CONFLICT (role_id, policy_id) DO NOTHING"""
REMOVE = "DELETE FROM role_policies WHERE role_id = :id AND policy_id = :policy_id"


def add(tx: Tx, role: RoleRow) -> None:
    tx.run(INSERT, role._asdict())


def role(tx: Tx, role_id: str, *, to_write: bool = False) -> RoleRow | None:
    row = tx.row(ONE + " {for_update}" if to_write else ONE, {"id": role_id})
    return RoleRow(*row) if row else None


def roles_after(tx: Tx, org_id: str, cursor: str, limit: int, orgs: tuple[str, ...] = ()) -> list[RoleRow]:
    """By id, after `cursor`; of one organisation, or of all when it is empty. orgs: those that count, empty for all."""
    given = {"org_id": org_id, "cursor": cursor, "limit": limit, "all": int(not orgs), "orgs": list(orgs) or [""]}
    return [RoleRow(*row) for row in tx.rows(AFTER, given)]


def rename(tx: Tx, role_id: str, name: str) -> None:
    tx.run(RENAME, {"id": role_id, "name": name})


def delete(tx: Tx, role_id: str) -> None:
    tx.run(DELETE_POLICIES, {"id": role_id})
    tx.run(DELETE, {"id": role_id})


def policy_ids(tx: Tx, role_ids: Iterable[str]) -> list[str]:
    """The ids of the policies that these roles have, each once for every role that has it."""
    return [row[0] for row in tx.rows(POLICY_IDS, {"roles": list(role_ids)})]


def policy_ids_by_role(tx: Tx, role_ids: Iterable[str]) -> dict[str, list[str]]:
    """The ids of the policies of each of these roles that has any."""
    found: dict[str, list[str]] = {}
    for role_id, policy_id in tx.rows(POLICY_IDS_BY_ROLE, {"roles": list(role_ids)}):
        found.setdefault(role_id, []).append(policy_id)
    return found


def assign(tx: Tx, role_id: str, policy_id: str) -> None:
    tx.run(ASSIGN, {"id": role_id, "policy_id": policy_id})


def remove(tx: Tx, role_id: str, policy_id: str) -> None:
    tx.run(REMOVE, {"id": role_id, "policy_id": policy_id})
