"""From a session's cookie or JWT to a Call; API keys are handed on to their own authenticator.

As with keys, a session is looked up once; afterwards a request costs one hash and one look into a dictionary. A
notification drops what a node keeps, and the loop `sessions` looks at it again, for a notification may be lost.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from ironflow.base.call import Browser, Call, Credentials, Principal
from ironflow.base.connections import Connections
from ironflow.base.errors import IronflowError, Unauthenticated
from ironflow.base.time import Clock, Millis
from ironflow.features.api_keys.in_tx import hash_of, presented
from ironflow.features.api_keys.service import AccessChanged
from ironflow.features.api_keys.service import Authenticator as Keys
from ironflow.features.environments.service import EnvironmentNames
from ironflow.features.policies.in_tx import CHANGED, Grant
from ironflow.features.roles import in_tx as roles
from ironflow.features.sessions import rules, store
from ironflow.features.sessions.rules import SessionRow
from ironflow.features.sessions.tokens import Tokens
from ironflow.features.users import in_tx as users
from ironflow.features.users.in_tx import USERS, UserRow
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

# Notified with the id of a session that has ended.
SESSIONS = "sessions"
# Sessions kept in memory; with more, all are looked up again.
KNOWN_MAX = 20_000
_ENDED = "The session has ended. Log in again."
_BROWSER = Browser("", "", "", False)


@dataclass(slots=True)
class _Known:
    """A session that was accepted."""

    session: SessionRow
    principal: Principal


class Sessions:
    """Recognizes sessions. connections: those to close when one ends; the composition gives them.

    public_url: where browsers reach the server, if not by its own name.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        notifier: Notifier,
        names: EnvironmentNames,
        keys: Keys,
        tokens: Tokens,
        public_url: str,
    ) -> None:
        self._db, self._clock, self._names, self._keys = db, clock, names, keys
        self._tokens, self._public_url = tokens, public_url
        self.connections = Connections()
        self._known: dict[str, _Known] = {}
        # Rises with each change: what was read before one is read again after it.
        self._changes = 0
        notifier.listen(SESSIONS, self._ended)
        notifier.listen(USERS, self._users_changed)
        notifier.listen(CHANGED, self._access_changed)

    def __call__(self, credentials: Credentials) -> Awaitable[Call]:
        """Raises Unauthenticated, PermissionDenied, EnvironmentNotFound, InvalidEnvironment."""
        if not credentials.cookie and "eyJ" not in credentials.authorization and "eyJ" not in credentials.api_key:
            # Saves a coroutine of every request with an API key.
            return self._keys(credentials)
        return self._call_of(credentials)

    async def _call_of(self, credentials: Credentials) -> Call:
        text = self._presented(credentials)
        if not text:
            return await self._keys(credentials)
        known = await self._known_by(text)
        environment = await self._names.rows_as(credentials.environment)
        if credentials.environment_too:
            await self._names.check_same(credentials.environment_too, environment)
        return Call(environment, self._clock.now(), known.principal)

    async def session_of(self, credentials: Credentials) -> SessionRow | None:
        """The valid session that a request presents; None for another one. Raises CrossSiteRequest."""
        text = self._presented(credentials)
        try:
            return (await self._known_by(text)).session if text else None
        except Unauthenticated:
            return None

    def _presented(self, credentials: Credentials) -> str:
        """A JWT or the secret of a cookie; empty for other credentials, and none. Raises Unauthenticated."""
        if credentials.authorization or credentials.api_key:
            text = presented(credentials.authorization, credentials.api_key)
            return text if rules.is_jwt(text) else ""
        secret = rules.cookie_in(credentials.cookie)
        if secret:
            rules.check_own_page(credentials.browser or _BROWSER, self._public_url)
        return secret

    async def _known_by(self, text: str) -> _Known:
        """Raises Unauthenticated."""
        text_hash = hash_of(text)
        known = self._known.get(text_hash)
        if known is None or known.session.expires_at <= self._clock.now():
            known = await self._look_up(text, text_hash)
        return known

    async def _look_up(self, text: str, text_hash: str) -> _Known:
        self._known.pop(text_hash, None)
        secret = await self._tokens.secret_in(text) if rules.is_jwt(text) else text

        def look(tx: Tx) -> _Known | None:
            session = store.session_by_hash(tx, hash_of(secret))
            user = users.user(tx, session.user_id) if session is not None else None
            if session is None or user is None or not _is_valid(session, user, self._clock.now()):
                return None
            grant = Grant(user.id, user.roles, roles.policies_of(tx, user.roles), user.org_id)
            return _Known(session, Principal(f"user:{user.id}", None, grant, session.id))

        while True:
            changes = self._changes
            known = await self._db.peek(look)
            if known is None:
                raise Unauthenticated(_ENDED)
            if changes == self._changes:
                break
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[text_hash] = known
        return known

    def _ended(self, notifications: set[str]) -> None:
        self._changes += 1
        if not all(notifications):
            # Notifications were missed.
            self._known.clear()
        self._end([each for each in self._principals() if each.session in notifications], Unauthenticated(_ENDED))

    def _users_changed(self, notifications: set[str]) -> None:
        self._changes += 1
        if not all(notifications):
            self._known.clear()
        held = self._principals()
        self._end([each for each in held if f"ended:{_user_id(each)}" in notifications], Unauthenticated(_ENDED))
        self._end([each for each in held if f"changed:{_user_id(each)}" in notifications], AccessChanged())

    def _access_changed(self, _: set[str]) -> None:
        """A role or a policy has changed: whose connections it concerns is decided when they are opened again."""
        self._changes += 1
        self._end([each for each in self._principals() if roles.can_change(each.access)], AccessChanged())

    def _principals(self) -> list[Principal]:
        """Of the sessions that this node knows, and of those that have connections."""
        return [*(known.principal for known in self._known.values()), *self.connections.principals("user:")]

    def _end(self, principals: Sequence[Principal], error: IronflowError) -> None:
        """Forgets their sessions and closes their connections: what is opened from now on has what one may do now."""
        if not principals:
            return
        # All in one pass: with one for each session, a change of a role that ten thousand have took half a minute.
        ended = {each.session for each in principals}
        self._known = {each: known for each, known in self._known.items() if known.session.id not in ended}
        for holder in {each.holder for each in principals}:
            self.connections.close_all_of(holder, error)

    async def look_again(self, now: Millis) -> tuple[int, Millis | None]:
        """Ends what expired, was ended or has other access, unnoticed; how many sessions.

        Also returns when the next session in use expires.
        """
        held = self._principals()
        if not held:
            return 0, None
        valid, changed = await self._db.read(lambda tx: _valid(tx, held, now))
        ended = [each for each in held if each.session not in valid]
        self._end(ended, Unauthenticated(_ENDED))
        self._end(changed, AccessChanged())
        return len({each.session for each in [*ended, *changed]}), min(valid.values(), default=None)


def _user_id(principal: Principal) -> str:
    return principal.name.removeprefix("user:")


def _is_valid(session: SessionRow, user: UserRow | None, now: Millis) -> bool:
    return user is not None and session.epoch == user.epoch and session.expires_at > now


def _valid(tx: Tx, held: Sequence[Principal], now: Millis) -> tuple[dict[str, Millis], list[Principal]]:
    """When each of the sessions expires, of those that are valid, and those that may do something else by now."""
    found = store.sessions(tx, {each.session for each in held})
    owners = users.users(tx, {each.user_id for each in found})
    valid = {each.id: each.expires_at for each in found if _is_valid(each, owners.get(each.user_id), now)}
    grants = {grant: each for grant, each in roles.grants_of(held).items() if each.session in valid}
    owned = {grant: owners[_user_id(each)] for grant, each in grants.items()}
    changed = roles.outdated(tx, {grant: (owner.roles, owner.org_id) for grant, owner in owned.items()})
    return valid, [grants[each] for each in changed]
