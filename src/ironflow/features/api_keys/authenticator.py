"""From credentials to a Call, with what is known of a key kept in memory until the key changes.

A key is looked up once by its hash; afterwards a request costs one comparison with the header that it came in before,
and one look into a dictionary by the hash. A notification drops what a node keeps, and the loop `api-keys` looks at it
again, for a notification may be lost.
"""

import hmac
from collections.abc import Sequence, Set
from dataclasses import dataclass

from ironflow.base.call import Call, Credentials, Principal
from ironflow.base.connections import Connections
from ironflow.base.environment import DEFAULT_ENVIRONMENT, environment_named
from ironflow.base.errors import IronflowError, PermissionDenied, Unauthenticated, Unavailable
from ironflow.base.time import Clock, Millis
from ironflow.features.api_keys import rules, store
from ironflow.features.api_keys.in_tx import KEYS, grant_of, orgs_of_keys
from ironflow.features.environments.in_tx import CHANGED as ENVIRONMENTS
from ironflow.features.environments.in_tx import moved_in
from ironflow.features.environments.service import EnvironmentNames
from ironflow.features.policies.in_tx import CHANGED
from ironflow.features.roles import in_tx as roles
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

# Keys kept in memory; with more, all are looked up again.
KNOWN_MAX = 20_000
# Headers whose hashes are kept, one for each beginning that a header and the visible part of its key make.
HEADERS_MAX = 1_000
_EXPIRED = "The key has expired."
_VISIBLE_CHARS = len("Bearer ") + rules.SHOWN_CHARS


class AccessChanged(Unavailable):
    """What this key may do has changed; connect again."""

    code = "ACCESS_CHANGED"


@dataclass(slots=True)
class _Known:
    """A key that was accepted. valid_until: 0 for ever."""

    key_id: str
    principal: Principal
    valid_until: Millis


class Authenticator:
    """Recognizes API keys. connections: those to close when a key is revoked; the composition gives them."""

    def __init__(self, db: Database, clock: Clock, notifier: Notifier, names: EnvironmentNames) -> None:
        self._db, self._clock, self._names = db, clock, names
        self.connections = Connections()
        self._known: dict[str, _Known] = {}
        # By what is no secret of it: an accepted header, and the hash of its key. Whether that is valid, `_known` says.
        self._headers: dict[str, tuple[str, str]] = {}
        self._used: dict[str, Millis] = {}
        # Rises with each change: what was read before one is read again after it.
        self._changes = 0
        notifier.listen(KEYS, self._keys_changed)
        notifier.listen(CHANGED, self._access_changed)
        notifier.listen(ENVIRONMENTS, self._environments_changed)

    async def __call__(self, credentials: Credentials) -> Call:
        """Raises Unauthenticated, PermissionDenied, EnvironmentNotFound, InvalidEnvironment."""
        header = credentials.authorization
        hash_before = self._hash_before(header) if not credentials.api_key else None
        secret_hash = hash_before or _hash_in(header, credentials.api_key)
        now = self._clock.now()
        known = self._known.get(secret_hash)
        if known is None or (known.valid_until and known.valid_until <= now):
            known = await self._look_up(secret_hash, now)
        if hash_before is None and not credentials.api_key:
            self._keep_header(header, secret_hash)
        principal = known.principal
        self._used[known.key_id] = now
        named = credentials.environment
        own = principal.environment
        if own is None:
            # Saves two coroutines of nearly every request.
            environment = await self._names.rows_as(named) if named else DEFAULT_ENVIRONMENT
            if credentials.environment_too:
                await self._names.check_same(credentials.environment_too, environment)
        else:
            environment = own
            # `default` is what clients send when none was configured. The answer is the same for an unknown name.
            for each in (named, credentials.environment_too):
                stated = bool(each) and environment_named(each) != DEFAULT_ENVIRONMENT
                if stated and await self._names.find(each) != own:
                    raise PermissionDenied(f"This key is for environment {own!r} only.")
        return Call(environment, now, principal)

    def _hash_before(self, header: str) -> str | None:
        """The hash of the key in a header that was accepted before, None for others: saves reading and hashing it."""
        kept = self._headers.get(header[:_VISIBLE_CHARS])
        if kept is None or not header.isascii() or not hmac.compare_digest(kept[0], header):
            return None
        return kept[1]

    def _keep_header(self, header: str, secret_hash: str) -> None:
        if header.isascii():
            if len(self._headers) >= HEADERS_MAX:
                self._headers.clear()
            self._headers[header[:_VISIBLE_CHARS]] = header, secret_hash

    async def _look_up(self, secret_hash: str, now: Millis) -> _Known:
        # One that has expired stays known until the loop has closed its connections.
        def look(tx: Tx) -> _Known | None:
            key = store.key_by_hash(tx, secret_hash)
            until = rules.valid_until(key, secret_hash, now)
            if until is None or key is None:
                # Before its roles are read: an expired key takes as long as an unknown one.
                return None
            return _Known(key.id, Principal(key.principal_name, key.environment or None, grant_of(tx, key)), until)

        while True:
            changes = self._changes
            known = await self._db.peek(look)
            if known is None:
                raise Unauthenticated("The key is unknown, expired or revoked.")
            if changes == self._changes:
                break
        if len(self._known) >= KNOWN_MAX:
            self._forget_all()
        self._known[secret_hash] = known
        return known

    def _keys_changed(self, notifications: set[str]) -> None:
        self._changes += 1
        if not all(notifications):
            # Notifications were missed.
            self._forget_all()
        changed = [text.partition(":") for text in notifications if text]
        revoked = {key_id for what, _, key_id in changed if what == "revoked"}
        self._end(revoked, Unauthenticated("The key was revoked."))
        self._end({key_id for _, _, key_id in changed} - revoked, AccessChanged())

    def _access_changed(self, _: set[str]) -> None:
        """A role or a policy has changed: whose connections it concerns is decided when they are opened again."""
        self._changes += 1
        self._end({_key_id(each) for each in self._principals() if roles.can_change(each.access)}, AccessChanged())

    def _environments_changed(self, notifications: set[str]) -> None:
        """The keys of an environment that has moved act for another organisation."""
        self._changes += 1
        moved = moved_in(notifications)
        if "" in notifications:
            # It may stand for missed ones.
            self._forget({_key_id(each) for each in self._principals() if each.environment is not None})
        self._end({_key_id(each) for each in self._principals() if each.environment in moved}, AccessChanged())

    def _principals(self) -> list[Principal]:
        """Of the keys that this node knows, and of those that have connections."""
        return [*(known.principal for known in self._known.values()), *self.connections.principals("key:")]

    def _forget(self, key_ids: Set[str]) -> None:
        self._headers.clear()
        # All in one pass: with one for each key, a change of a role that ten thousand have took five seconds.
        if key_ids:
            self._known = {each: known for each, known in self._known.items() if known.key_id not in key_ids}

    def _forget_all(self) -> None:
        self._known.clear()
        self._headers.clear()

    def _end(self, key_ids: Set[str], error: IronflowError) -> None:
        """Forgets the keys and closes their connections: what is opened from now on has what a key may do now."""
        self._forget(key_ids)
        for key_id in key_ids:
            self.connections.close_all_of(f"key:{key_id}", error)

    async def look_again(self, now: Millis) -> tuple[int, Millis | None]:
        """Ends what expired, was revoked or has other access, unnoticed; how many keys.

        Also returns when the next key in use expires.
        """
        expired = {each.key_id for each in self._known.values() if _is_over(each.valid_until, now)}
        self._end(expired, Unauthenticated(_EXPIRED))
        ended = len(expired)
        due = [known.valid_until for known in self._known.values() if known.valid_until]
        held = self._principals()
        if held:
            found, changed = await self._db.read(lambda tx: _present(tx, held))
            revoked = {_key_id(each) for each in held} - found.keys()
            # Of connections whose keys this node has forgotten.
            expired = {key_id for key_id, expires_at in found.items() if _is_over(expires_at, now)}
            self._end(revoked, Unauthenticated("The key was revoked."))
            self._end(expired, Unauthenticated(_EXPIRED))
            self._end(changed - expired, AccessChanged())
            ended += len(revoked | expired | changed)
            due += [expires_at for expires_at in found.values() if expires_at > now]
        return ended, min(due, default=None)

    def take_used(self) -> dict[str, Millis]:
        """When each key was used last since this was called before."""
        used, self._used = self._used, {}
        return used


def _hash_in(authorization: str, api_key: str) -> str:
    """The hash of the key that a request presents. Raises Unauthenticated."""
    secret = rules.presented(authorization, api_key)
    if not secret:
        raise Unauthenticated("This needs an API key: send it as `Authorization: Bearer ifkey_…`.")
    return rules.hash_of(secret)


def _key_id(principal: Principal) -> str:
    return principal.name.removeprefix("key:")


def _is_over(until: Millis, now: Millis) -> bool:
    """until: 0 for ever."""
    return 0 < until <= now


def _present(tx: Tx, held: Sequence[Principal]) -> tuple[dict[str, Millis], set[str]]:
    """When each of these keys expires, of those that exist, and the ids of those that may do something else by now."""
    found = store.keys(tx, {_key_id(each) for each in held})
    grants = {grant: _key_id(each) for grant, each in roles.grants_of(held).items() if _key_id(each) in found}
    orgs = orgs_of_keys(tx, found.values())
    changed = roles.outdated(tx, {grant: (found[key_id].roles, orgs[key_id]) for grant, key_id in grants.items()})
    return {key_id: key.expires_at for key_id, key in found.items()}, {grants[each] for each in changed}
