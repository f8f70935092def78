"""What is remembered of policies."""

from collections.abc import Iterable
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.features.policies.rules import PolicyRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(PolicyRow._fields)
INSERT = f"""INSERT INTO policies ({_COLUMNS})
VALUES (:id, :org_id, :name, :effect, :actions, :resources, :condition, :created_at, :updated_at, :version,
 :changed_by)"""
ONE = f"SELECT {_COLUMNS} FROM policies WHERE id = :id"
SOME = f"SELECT {_COLUMNS} FROM policies WHERE id IN {{each:ids}} ORDER BY id"
AFTER = f"""SELECT {_COLUMNS} FROM policies
WHERE id > :cursor AND (:org_id = '' OR org_id = :org_id)
AND (:all = 1 OR org_id IN {{each:orgs}}) ORDER BY id LIMIT :limit"""
SAVE = """UPDATE policies SET name = :name, effect = :effect, actions = :actions, resources = :resources,
condition = :condition, updated_at = :updated_at, version = :version, changed_by = :changed_by WHERE id = :id"""
DELETE = "DELETE FROM policies WHERE id = :id"
# Versions that were superseded; the current one is the policy.
KEEP = """INSERT INTO policy_versions
 (policy_id, version, name, effect, actions, resources, condition, changed_by, changed_at)
VALUES (:id, :version, :name, :effect, :actions, :resources, :condition, :changed_by, :updated_at)"""
VERSIONS = """SELECT version, name, effect, actions, resources, condition, changed_by, changed_at FROM policy_versions
WHERE policy_id = :policy_id AND version < :below ORDER BY version DESC LIMIT :limit"""
DROP_VERSIONS = "DELETE FROM policy_versions WHERE policy_id = :policy_id AND version < :below"


class Version(NamedTuple):
    """What a policy was, since `changed_at`."""

    version: int
    name: str
    effect: str
    actions: str
    resources: str
    condition: str
    changed_by: str
    changed_at: Millis


def add(tx: Tx, policy: PolicyRow) -> None:
    tx.run(INSERT, policy._asdict())


def policy(tx: Tx, policy_id: str, *, to_write: bool = False) -> PolicyRow | None:
    row = tx.row(ONE + " {for_update}" if to_write else ONE, {"id": policy_id})
    return PolicyRow(*row) if row else None


def policies(tx: Tx, ids: Iterable[str]) -> list[PolicyRow]:
    """Those of these ids that exist, by id."""
    return [PolicyRow(*row) for row in tx.rows(SOME, {"ids": list(ids)})]


def policies_after(tx: Tx, org_id: str, cursor: str, limit: int, orgs: tuple[str, ...] = ()) -> list[PolicyRow]:
    """By id, after `cursor`; of one organisation, or of all when it is empty. orgs: those that count, empty for all."""
    given = {"org_id": org_id, "cursor": cursor, "limit": limit, "all": int(not orgs), "orgs": list(orgs) or [""]}
    return [PolicyRow(*row) for row in tx.rows(AFTER, given)]


def save(tx: Tx, policy: PolicyRow) -> None:
    tx.run(SAVE, policy._asdict())


def delete(tx: Tx, policy_id: str) -> bool:
    """Whether there was one."""
    return tx.run(DELETE, {"id": policy_id}) > 0


def keep(tx: Tx, policy: PolicyRow, kept: int) -> None:
    """Stores a version that is about to be superseded, and drops all but the `kept` newest."""
    tx.run(KEEP, policy._asdict())
    drop_versions(tx, policy.id, policy.version - kept + 1)


def versions_below(tx: Tx, policy_id: str, below: int, limit: int) -> list[Version]:
    """Superseded versions, newest first."""
    rows = tx.rows(VERSIONS, {"policy_id": policy_id, "below": below, "limit": limit})
    return [Version(*row) for row in rows]


def drop_versions(tx: Tx, policy_id: str, below: int) -> None:
    tx.run(DROP_VERSIONS, {"policy_id": policy_id, "below": below})
