"""What happens: one method for each operation of the feature."""

from collections.abc import Mapping
from typing import Any

from ironflow.base.call import Browser, Call, Credentials
from ironflow.base.errors import Unauthenticated
from ironflow.base.ids import Ids
from ironflow.base.settings import Settings
from ironflow.base.time import to_datetime
from ironflow.features.api_keys.in_tx import hash_of
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.sessions import contract, rules, store
from ironflow.features.sessions.authenticator import SESSIONS
from ironflow.features.sessions.authenticator import Sessions as Sessions
from ironflow.features.sessions.rules import SessionRow
from ironflow.features.sessions.tokens import Tokens as Tokens
from ironflow.features.users import in_tx as users
from ironflow.features.users.contract import WrongPassword
from ironflow.features.users.in_tx import UserRow
from ironflow.features.users.service import Passwords
from ironflow.features.users.service import message as user_message
from ironflow.storage.port import Database, Tx

_WRONG = "The e-mail address or the password is wrong."


class LogIns:
    """Begins and ends sessions."""

    def __init__(
        self, db: Database, ids: Ids, settings: Settings, passwords: Passwords, tokens: Tokens, sessions: Sessions
    ) -> None:
        self._db, self._ids, self._passwords = db, ids, passwords
        self._tokens, self._sessions = tokens, sessions
        self._public_url = settings.public_url
        self._lifetime_ms = int(settings.session_hours * 3_600_000)
        self.is_secure = bool(settings.tls_cert) or settings.public_url.startswith("https:")

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.log_in: self.log_in, contract.log_out: self.log_out, contract.current: self.current}

    async def log_in(self, call: Call, request: contract.LogIn) -> contract.LoggedIn:
        headers = request.head.headers if request.head is not None else {}
        if request.cookie:
            # Else another page could log its visitor in as another user.
            rules.check_own_page(browser_of(headers), self._public_url)
        email_key = users.email_key(request.email)
        subject = rules.subject_of(email_key, call.remote_address)

        def attempt(tx: Tx) -> UserRow | None:
            store.save_failures(tx, rules.decide_attempt(store.failures(tx, subject, call.now), call.now))
            return users.user_by_email(tx, email_key)

        user = await self._db.write(attempt)
        client = rules.client_of(call.remote_address)
        password_hash = user.password_hash if user is not None else ""
        if not await self._passwords.is_password(password_hash, request.password, client) or user is None:
            raise WrongPassword(_WRONG)
        if user.disabled_at:
            # After the password was verified, with the same answer: that it was the right one is not shown.
            raise WrongPassword(_WRONG)
        new_hash = ""
        if self._passwords.is_old(password_hash):
            new_hash = await self._passwords.hashed(request.password, client)
        session, secret = await self._begin(call, user, new_hash, subject, headers.get("cookie", ""))
        shown = {"expires_at": to_datetime(session.expires_at), "user": user_message(user)}
        if request.cookie:
            return contract.LoggedIn(**shown, set_cookie=self._cookie(secret, self._lifetime_ms // 1000))
        return contract.LoggedIn(**shown, token=await self._tokens.signed(session, user, secret))

    async def _begin(
        self, call: Call, user: UserRow, new_hash: str, subject: str, cookies: str
    ) -> tuple[SessionRow, str]:
        """A new session and its secret, never one that the caller brought. Raises WrongPassword."""
        secret = rules.PREFIX + self._ids.token() + self._ids.token()

        def change(tx: Tx) -> SessionRow:
            found = users.user(tx, user.id, to_write=True)
            if found is None or found.password_hash != user.password_hash or found.disabled_at:
                # Changed while the old password was verified.
                raise WrongPassword(_WRONG)
            session = SessionRow(
                id=self._ids.new("session"),
                user_id=found.id,
                epoch=found.epoch,
                secret_hash=hash_of(secret),
                created_at=call.now,
                expires_at=call.now + self._lifetime_ms,
            )
            store.clear_failures(tx, subject)
            self._end_replaced(tx, cookies)
            store.add(tx, session, rules.SESSIONS_OF_USER_MAX)
            users.logged_in(tx, found, new_hash, call.now)
            payload = {
                "summary": f"user {found.email!r} logged in",
                "operation": contract.log_in.name,
                "session_id": session.id,
                "address": call.remote_address or None,
            }
            audit_notes.append(tx, call.environment, call.now, "session.began", f"user:{found.id}", payload)
            return session

        return await self._db.write(change), secret

    async def begin_as_cookie(self, call: Call, user: UserRow, cookies: str) -> str:
        """A session of a user that another system has recognized: the value of Set-Cookie."""
        _, secret = await self._begin(call, user, "", "", cookies)
        return self._cookie(secret, self._lifetime_ms // 1000)

    def _end_replaced(self, tx: Tx, cookies: str) -> None:
        """The session of the cookie that a new one replaces."""
        try:
            before = store.session_by_hash(tx, hash_of(rules.cookie_in(cookies)))
        except Unauthenticated:
            return
        if before is not None:
            store.delete(tx, before.id)
            tx.notify(SESSIONS, before.id)

    async def log_out(self, call: Call, request: contract.LogOut) -> contract.LoggedOut:
        headers = request.head.headers if request.head is not None else {}
        session = await self._sessions.session_of(
            Credentials(
                authorization=headers.get("authorization", ""),
                cookie=headers.get("cookie", ""),
                browser=browser_of(headers),
            )
        )

        def change(tx: Tx, session: SessionRow) -> None:
            user = users.user(tx, session.user_id, to_write=True)
            if request.everywhere and user is not None:
                users.end_sessions(tx, user)
            store.delete(tx, session.id)
            tx.notify(SESSIONS, session.id)
            payload = {
                "summary": f"session ended{' everywhere' if request.everywhere else ''}",
                "operation": contract.log_out.name,
                "session_id": session.id,
                "address": call.remote_address or None,
            }
            audit_notes.append(tx, call.environment, call.now, "session.ended", f"user:{session.user_id}", payload)

        if session is not None:
            await self._db.write(lambda tx: change(tx, session))
        return contract.LoggedOut(
            ended=session is not None, set_cookie=self._cookie("", 0) if headers.get("cookie") else None
        )

    async def current(self, call: Call, request: contract.GetCaller) -> contract.Session:
        principal = call.principal

        def look(tx: Tx) -> tuple[UserRow | None, list[SessionRow]]:
            user = users.user(tx, principal.name.removeprefix("user:")) if principal.session else None
            return user, store.sessions(tx, [principal.session] if principal.session else [])

        user, found = await self._db.peek(look)
        return contract.Session(
            principal=principal.name,
            roles=list(principal.access.roles) if principal.access is not None else [],
            user=user_message(user) if user is not None else None,
            expires_at=to_datetime(found[0].expires_at) if found else None,
            environment=principal.environment,
        )

    def _cookie(self, secret: str, max_age_s: int) -> str:
        return rules.set_cookie(secret, max_age_s, is_secure=self.is_secure)


def browser_of(headers: Mapping[str, str]) -> Browser:
    """What a browser says of the page that made a request, by its headers."""
    return Browser(
        headers.get("origin", ""),
        headers.get("host", ""),
        headers.get("sec-fetch-site", ""),
        "x-ironflow-csrf" in headers,
    )
