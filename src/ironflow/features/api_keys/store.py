"""What is remembered of API keys."""

from collections import Counter
from collections.abc import Iterable

from ironflow.base.time import Millis
from ironflow.features.api_keys.rules import ApiKeyRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(ApiKeyRow._fields)
_VALUES = ", ".join(f":{name}" for name in ApiKeyRow._fields)
INSERT = f"INSERT INTO api_keys ({_COLUMNS}) VALUES ({_VALUES})"
ONE = f"SELECT {_COLUMNS} FROM api_keys WHERE id = :id"
SOME = f"SELECT {_COLUMNS} FROM api_keys WHERE id IN {{each:ids}}"
BY_HASH = f"SELECT {_COLUMNS} FROM api_keys WHERE key_hash = :hash OR (old_hash <> '' AND old_hash = :hash)"
AFTER = f"""SELECT {_COLUMNS} FROM api_keys
WHERE id > :cursor AND (:environment = '' OR environment = :environment) ORDER BY id LIMIT :limit"""
SAVE = """UPDATE api_keys SET key_hash = :key_hash, key_prefix = :key_prefix, role_ids = :role_ids,
old_hash = :old_hash, old_until = :old_until WHERE id = :id"""
DELETE = "DELETE FROM api_keys WHERE id = :id"
USED = "UPDATE api_keys SET last_used_at = :at WHERE id = :id AND last_used_at < :at"
ROLES = "SELECT role_ids FROM api_keys WHERE :environment = '' OR environment = :environment"
DELETE_OF_ENVIRONMENT = "DELETE FROM api_keys WHERE environment = :environment RETURNING id"
DELETE_CREATED_BY = f"DELETE FROM api_keys WHERE created_by = :created_by RETURNING {_COLUMNS}"
WITH_ROLE = """SELECT role_ids FROM api_keys WHERE environment = '' AND (expires_at = 0 OR expires_at > :now)
AND ',' || role_ids || ',' LIKE :role"""
COUNT_OF_SOME = "SELECT count(*) FROM api_keys WHERE environment IN {each:environments}"
BOOTSTRAP = "INSERT INTO api_key_bootstraps (id, made_at) VALUES ('first', :now) ON CONFLICT (id) DO NOTHING"


def add(tx: Tx, key: ApiKeyRow) -> None:
    tx.run(INSERT, key._asdict())


def key(tx: Tx, key_id: str, *, to_write: bool = False) -> ApiKeyRow | None:
    row = tx.row(ONE + " {for_update}" if to_write else ONE, {"id": key_id})
    return ApiKeyRow(*row) if row else None


def keys(tx: Tx, ids: Iterable[str]) -> dict[str, ApiKeyRow]:
    """Those of these keys that exist, by id."""
    return {row[0]: ApiKeyRow(*row) for row in tx.rows(SOME, {"ids": list(ids)})}


def key_by_hash(tx: Tx, secret_hash: str) -> ApiKeyRow | None:
    row = tx.row(BY_HASH, {"hash": secret_hash})
    return ApiKeyRow(*row) if row else None


def keys_after(tx: Tx, environment: str, cursor: str, limit: int) -> list[ApiKeyRow]:
    """By id, after `cursor`; of one environment, or of all when it is empty."""
    rows = tx.rows(AFTER, {"environment": environment, "cursor": cursor, "limit": limit})
    return [ApiKeyRow(*row) for row in rows]


def save(tx: Tx, key: ApiKeyRow) -> None:
    tx.run(SAVE, key._asdict())


def delete(tx: Tx, key_id: str) -> None:
    tx.run(DELETE, {"id": key_id})


def delete_of(tx: Tx, environment: str) -> list[str]:
    """Deletes the keys that are limited to this environment; their ids."""
    return [row[0] for row in tx.rows(DELETE_OF_ENVIRONMENT, {"environment": environment})]


def delete_created_by(tx: Tx, created_by: str) -> list[ApiKeyRow]:
    """Deletes the keys that a principal has created, and returns them."""
    return [ApiKeyRow(*row) for row in tx.rows(DELETE_CREATED_BY, {"created_by": created_by})]


def with_role(tx: Tx, role: str, now: Millis) -> list[list[str]]:
    """The roles of each valid key of all environments that has this one."""
    return [roles.split(",") for (roles,) in tx.rows(WITH_ROLE, {"role": f"%,{role},%", "now": now})]


def mark_used(tx: Tx, used: dict[str, Millis]) -> None:
    """used: when each key was used last."""
    tx.many(USED, [{"id": key_id, "at": at} for key_id, at in sorted(used.items())])


def count_by_role(tx: Tx, environment: str = "") -> dict[str, int]:
    """How many keys have each role: those limited to this environment, or all when it is empty."""
    return Counter(
        role for (roles,) in tx.rows(ROLES, {"environment": environment}) for role in roles.split(",") if role
    )


def count_of(tx: Tx, environments: Iterable[str]) -> int:
    """How many keys are limited to one of these environments."""
    row = tx.row(COUNT_OF_SOME, {"environments": list(environments)})
    return row[0] if row else 0


def add_bootstrap(tx: Tx, now: Millis) -> bool:
    """Whether this is the first start with authentication; another node that starts now waits for the answer."""
    return tx.run(BOOTSTRAP, {"now": now}) > 0
