"""What other features do with keys inside their own transactions."""

from collections.abc import Iterable

from ironflow.base.call import Access
from ironflow.base.ids import Ids
from ironflow.base.time import Millis
from ironflow.features.api_keys import rules, store
from ironflow.features.api_keys.rules import ApiKeyRow
from ironflow.features.api_keys.rules import check_roles_within as check_roles_within
from ironflow.features.api_keys.rules import hash_of as hash_of
from ironflow.features.api_keys.rules import presented as presented
from ironflow.features.api_keys.rules import roles_for as roles_for
from ironflow.features.api_keys.store import count_by_role as count_by_role
from ironflow.features.api_keys.store import count_of as count_of
from ironflow.features.api_keys.store import with_role as with_role
from ironflow.features.environments import in_tx as environments
from ironflow.features.policies.in_tx import Grant
from ironflow.features.roles.in_tx import ADMIN, policies_of
from ironflow.storage.port import Tx

# Notified when keys have changed, with `revoked:ID` or `changed:ID` as the key.
KEYS = "api_keys"


def org_of_key(tx: Tx, key: ApiKeyRow) -> str:
    """A key of one environment acts for the organisation that the environment belongs to now."""
    return environments.org_of(tx, key.environment) if key.environment else key.org_id


def orgs_of_keys(tx: Tx, keys: Iterable[ApiKeyRow]) -> dict[str, str]:
    """As `org_of_key`, of several, by the key's id."""
    keys = list(keys)
    orgs = environments.orgs_of(tx, {key.environment for key in keys if key.environment})
    return {key.id: orgs[key.environment] if key.environment else key.org_id for key in keys}


def grant_of(tx: Tx, key: ApiKeyRow) -> Grant:
    """What a key may do."""
    return Grant(key.id, key.roles, policies_of(tx, key.roles), org_of_key(tx, key))


def new_secret(ids: Ids) -> str:
    """The plain text of a new key: 256 random bits."""
    return rules.PREFIX + ids.token() + ids.token()


def add_admin(
    tx: Tx, key_id: str, secret: str, name: str, org_id: str, environment: str, made_by: str, now: Millis
) -> None:
    """An administrator's key that is limited to one environment."""
    store.add(
        tx,
        ApiKeyRow(
            id=key_id,
            org_id=org_id,
            environment=environment,
            name=name,
            key_hash=rules.hash_of(secret),
            key_prefix=secret[: rules.SHOWN_CHARS],
            role_ids=ADMIN,
            created_at=now,
            created_by=made_by,
            expires_at=0,
            last_used_at=0,
            old_hash="",
            old_until=0,
        ),
    )


def revoke_of(tx: Tx, environment: str) -> None:
    """Revokes every key that is limited to this environment."""
    for key_id in store.delete_of(tx, environment):
        tx.notify(KEYS, f"revoked:{key_id}")


def revoke_created_by(tx: Tx, creator: str, access: Access | None) -> list[str]:
    """Revokes every key that this principal has created; their ids.

    access: of the caller. Raises KeyExceedsMaker for a key that has more.
    """
    revoked = store.delete_created_by(tx, creator)
    for key in revoked:
        check_roles_within(access, key.roles)
        tx.notify(KEYS, f"revoked:{key.id}")
    return [key.id for key in revoked]
