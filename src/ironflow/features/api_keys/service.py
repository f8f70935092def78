"""What happens: one method for each operation of the feature."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.duration import duration_ms
from ironflow.base.ids import Ids
from ironflow.base.operation import Operation
from ironflow.base.time import Millis, to_datetime
from ironflow.features.api_keys import contract, rules, store
from ironflow.features.api_keys.authenticator import AccessChanged as AccessChanged
from ironflow.features.api_keys.authenticator import Authenticator as Authenticator
from ironflow.features.api_keys.bootstrap import seed_first_key as seed_first_key
from ironflow.features.api_keys.in_tx import KEYS, grant_of, org_of_key
from ironflow.features.api_keys.rules import ApiKeyRow
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.environments import in_tx as environments
from ironflow.features.policies.in_tx import Grant
from ironflow.features.policies.service import org_of, orgs_seen
from ironflow.features.roles import in_tx as roles
from ironflow.storage.port import Database, Tx


class ApiKeys:
    """Keys of clients and workers. A key of one environment sees and makes keys of that environment only."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db, self._ids = db, ids

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.delete: self.delete,
            contract.rotate: self.rotate,
            contract.set_roles: self.set_roles,
            contract.explain: self.explain,
        }

    async def create(self, call: Call, request: contract.CreateApiKey) -> contract.NewApiKey:
        wanted = rules.roles_for(call.principal, request.role_ids)
        secret = self._secret()
        expires_at = rules.expiry(request.expires_in, call.now)

        def change(tx: Tx) -> ApiKeyRow:
            roles.check_roles(tx, wanted, orgs_seen(call))
            environment = _environment_of(tx, call, request.env_id)
            key = ApiKeyRow(
                id=self._ids.new("apikey"),
                org_id=environments.org_of(tx, environment) if environment else org_of(call),
                environment=environment,
                name=request.name,
                key_hash=rules.hash_of(secret),
                key_prefix=secret[: rules.SHOWN_CHARS],
                role_ids=",".join(wanted),
                created_at=call.now,
                created_by=call.principal.name,
                expires_at=expires_at,
                last_used_at=0,
                old_hash="",
                old_until=0,
            )
            store.add(tx, key)
            _note(tx, call, contract.create, request, "api_key.created", key)
            return key

        return _new_message(await self._db.write(change), secret)

    async def list_(self, call: Call, request: contract.ListApiKeys) -> contract.ApiKeys:
        environment = call.principal.environment or ""
        found = await self._db.read(
            lambda tx: _shown(tx, store.keys_after(tx, environment, request.cursor, request.limit))
        )
        more = found[-1].id if len(found) == request.limit else None
        return contract.ApiKeys(api_keys=[_message(each) for each in found], next_cursor=more)

    async def get(self, call: Call, request: contract.NamedApiKey) -> contract.ApiKey:
        (found,) = await self._db.peek(lambda tx: _shown(tx, [_key(tx, call, request.id)]))
        return _message(found)

    async def delete(self, call: Call, request: contract.NamedApiKey) -> None:
        def change(tx: Tx) -> None:
            key = _lesser(tx, call, request.id)
            store.delete(tx, key.id)
            _note(tx, call, contract.delete, request, "api_key.revoked", key)
            tx.notify(KEYS, f"revoked:{key.id}")

        await self._db.write(change)

    async def rotate(self, call: Call, request: contract.RotateApiKey) -> contract.NewApiKey:
        grace_ms = duration_ms(request.grace) if request.grace else 0
        secret = self._secret()

        def change(tx: Tx) -> ApiKeyRow:
            old = _lesser(tx, call, request.id)
            new = old._replace(
                key_hash=rules.hash_of(secret),
                key_prefix=secret[: rules.SHOWN_CHARS],
                old_hash=old.key_hash if grace_ms else "",
                old_until=call.now + grace_ms if grace_ms else 0,
            )
            store.save(tx, new)
            _note(tx, call, contract.rotate, request, "api_key.rotated", new)
            tx.notify(KEYS, f"{'changed' if grace_ms else 'revoked'}:{new.id}")
            return _shown(tx, [new])[0]

        return _new_message(await self._db.write(change), secret)

    async def set_roles(self, call: Call, request: contract.SetRoles) -> contract.ApiKey:
        wanted = rules.roles_for(call.principal, request.role_ids)

        def change(tx: Tx) -> ApiKeyRow:
            roles.check_roles(tx, wanted, orgs_seen(call))
            old = _lesser(tx, call, request.id)
            key = old._replace(role_ids=",".join(wanted))
            store.save(tx, key)
            _note(tx, call, contract.set_roles, request, "api_key.roles_changed", key, old)
            tx.notify(KEYS, f"changed:{key.id}")
            return _shown(tx, [key])[0]

        return _message(await self._db.write(change))

    async def explain(self, call: Call, request: contract.Explain) -> contract.Explanation:
        def look(tx: Tx) -> Grant:
            if request.subject:
                return grant_of(tx, _key(tx, call, request.subject))
            roles.check_roles(tx, request.roles, orgs_seen(call))
            return Grant("", tuple(request.roles), roles.policies_of(tx, request.roles), org_of(call))

        grant = await self._db.read(look)
        resource = request.resource or request.action.partition(":")[0]
        about = replace(call, environment=request.environment or call.environment)
        decision = grant.decide_about(about, request.action, resource, request.request)
        return contract.Explanation(allowed=decision.allowed, rule=decision.rule, reason=decision.reason)

    def _secret(self) -> str:
        return rules.PREFIX + self._ids.token() + self._ids.token()


def _note(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    event_type: str,
    key: ApiKeyRow,
    before: ApiKeyRow | None = None,
) -> None:
    audit_notes.record(
        tx,
        call,
        operation,
        request,
        event_type,
        f"API key {key.name!r}: {event_type.partition('.')[2].replace('_', ' ')}",
        api_key_id=key.id,
        name=key.name,
        role_ids=list(key.roles),
        role_ids_before=list(before.roles) if before else None,
        key_environment=key.environment or None,
    )


def _shown(tx: Tx, keys: Sequence[ApiKeyRow]) -> list[ApiKeyRow]:
    """Keys with the organisations that they act for now."""
    orgs = {key.environment: org_of_key(tx, key) for key in keys if key.environment}
    return [key._replace(org_id=orgs.get(key.environment, key.org_id)) for key in keys]


def _key(tx: Tx, call: Call, key_id: str, *, to_write: bool = False) -> ApiKeyRow:
    """Raises ApiKeyNotFound, also for a key that the caller must not see."""
    found = store.key(tx, key_id, to_write=to_write)
    own = call.principal.environment
    if found is None or (own is not None and found.environment != own):
        raise contract.ApiKeyNotFound(f"There is no API key {key_id!r}.")
    return found


def _lesser(tx: Tx, call: Call, key_id: str) -> ApiKeyRow:
    """A key that the caller may change or end: one that has no more than the caller, which may get its new secret.

    Raises ApiKeyNotFound, KeyExceedsMaker.
    """
    found = _key(tx, call, key_id, to_write=True)
    rules.check_roles_within(call.principal.access, found.roles)
    return found


def _environment_of(tx: Tx, call: Call, named: str) -> str:
    """The environment of a new key, empty for all. Raises EnvironmentNotFound, KeyExceedsMaker."""
    own = call.principal.environment
    if not named:
        return own or ""
    found = environments.rows_as(tx, named)
    if own is not None and found != own:
        raise contract.KeyExceedsMaker(f"This key is limited to environment {own!r}; so are the keys that it makes.")
    return found


def _message(key: ApiKeyRow) -> contract.ApiKey:
    return contract.ApiKey(**_fields(key))


def _new_message(key: ApiKeyRow, secret: str) -> contract.NewApiKey:
    return contract.NewApiKey(**_fields(key), key=secret, secret=secret)


def _fields(key: ApiKeyRow) -> dict[str, Any]:
    def at(moment: Millis) -> Any:
        return to_datetime(moment) if moment else None

    return {
        "id": key.id,
        "org_id": key.org_id,
        "name": key.name,
        "key_prefix": key.key_prefix,
        "role_ids": list(key.roles),
        "created_at": to_datetime(key.created_at),
        "created_by": key.created_by,
        "expires_at": at(key.expires_at),
        "last_used_at": at(key.last_used_at),
        "environment_id": key.environment or None,
        "previous_valid_until": at(key.old_until),
    }
