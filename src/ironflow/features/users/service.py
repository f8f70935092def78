"""What happens: one method for each operation of the feature, and the first user."""

import logging
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import PermissionDenied
from ironflow.base.ids import Ids
from ironflow.base.operation import Operation
from ironflow.base.time import Millis, to_datetime
from ironflow.features.api_keys import contract as api_keys_contract
from ironflow.features.api_keys import in_tx as api_keys
from ironflow.features.api_keys.in_tx import check_roles_within, roles_for
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.policies.service import DEFAULT_ORG, check_all_environments
from ironflow.features.roles import in_tx as roles
from ironflow.features.users import contract, in_tx, rules, store
from ironflow.features.users.in_tx import USERS
from ironflow.features.users.passwords import Passwords as Passwords
from ironflow.features.users.rules import UserRow
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)


class Users:
    """Users of one server. A key of one environment sees none of them: they are of all environments."""

    def __init__(self, db: Database, ids: Ids, passwords: Passwords) -> None:
        self._db, self._ids, self._passwords = db, ids, passwords

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.update: self.update,
            contract.delete: self.delete,
            contract.disable: self.disable,
            contract.enable: self.enable,
            contract.change_password: self.change_password,
            contract.end_sessions: self.end_sessions,
        }

    async def create(self, call: Call, request: contract.CreateUser) -> contract.User:
        check_all_environments(call, "users")
        rules.check_email(request.email)
        rules.check_password(request.password)
        wanted = roles_for(call.principal, _named(request.roles))
        user = UserRow(
            id=new_id(self._ids),
            org_id=DEFAULT_ORG,
            email=request.email.strip(),
            email_key=rules.email_key(request.email),
            name=request.name,
            role_ids=",".join(wanted),
            password_hash=await self._passwords.hashed(request.password, call.remote_address),
            epoch=0,
            created_at=call.now,
            created_by=call.principal.name,
            updated_at=call.now,
            last_login_at=0,
        )

        def change(tx: Tx) -> None:
            roles.check_roles(tx, wanted)
            if not store.add(tx, user):
                raise contract.UserExists(f"There is a user {request.email!r} already.")
            _note(tx, call, contract.create, request, "user.created", user)

        await self._db.write(change)
        return message(user)

    async def add_without_password(self, call: Call, email: str, name: str, role: str) -> UserRow:
        """A user that another system has recognized; an existing one of the address stays as it is.

        Raises InvalidUser, RoleNotFound.
        """
        rules.check_email(email)
        user = UserRow(
            id=new_id(self._ids),
            org_id=DEFAULT_ORG,
            email=email.strip(),
            email_key=rules.email_key(email),
            name=name[:200],
            role_ids=rules.role_named(role),
            password_hash="",
            epoch=0,
            created_at=call.now,
            created_by="oidc",
            updated_at=call.now,
            last_login_at=0,
        )

        def change(tx: Tx) -> UserRow:
            roles.check_roles(tx, user.roles)
            if store.add(tx, user):
                payload = {"summary": f"user {user.email!r}: created", "user_id": user.id, "role_ids": [*user.roles]}
                audit_notes.append(tx, call.environment, call.now, "user.created", "oidc", payload)
                return user
            return store.user_by_email(tx, user.email_key) or user

        return await self._db.write(change)

    async def list_(self, call: Call, request: contract.ListUsers) -> contract.Users:
        check_all_environments(call, "users")
        found = await self._db.read(lambda tx: store.users_after(tx, request.cursor, request.limit))
        more = found[-1].id if len(found) == request.limit else None
        return contract.Users(users=[message(each) for each in found], next_cursor=more)

    async def get(self, call: Call, request: contract.NamedUser) -> contract.User:
        check_all_environments(call, "users")
        return message(await self._db.peek(lambda tx: _user(tx, request.id)))

    async def update(self, call: Call, request: contract.UpdateUser) -> contract.User:
        check_all_environments(call, "users")
        given: dict[str, Any] = {}
        if request.email is not None:
            rules.check_email(request.email)
            given |= {"email": request.email.strip(), "email_key": rules.email_key(request.email)}
        if request.name is not None:
            given["name"] = request.name
        if request.roles is not None:
            given["role_ids"] = ",".join(roles_for(call.principal, _named(request.roles)))
        if request.password is not None:
            rules.check_password(request.password)
            given["password_hash"] = await self._passwords.hashed(request.password, call.remote_address)

        def change(tx: Tx) -> UserRow:
            others = _administrators(tx, call) if "role_ids" in given else frozenset[str]()
            old = _lesser(tx, call, request.id)
            new = old._replace(**given, updated_at=call.now)
            roles.check_roles(tx, new.roles)
            if "role_ids" in given:
                rules.check_administrator_stays(old, new, others=bool(others - {old.id}))
            taken = store.user_by_email(tx, new.email_key)
            if taken is not None and taken.id != old.id:
                raise contract.UserExists(f"There is a user {new.email!r} already.")
            if new.password_hash != old.password_hash:
                new = new._replace(epoch=old.epoch + 1)
                tx.notify(USERS, f"ended:{new.id}")
            elif new.role_ids != old.role_ids:
                tx.notify(USERS, f"changed:{new.id}")
            store.save(tx, new)
            _note(tx, call, contract.update, request, "user.updated", new, old)
            return new

        return message(await self._db.write(change))

    async def delete(self, call: Call, request: contract.NamedUser) -> None:
        check_all_environments(call, "users")

        def change(tx: Tx) -> None:
            others = _administrators(tx, call)
            user = _lesser(tx, call, request.id)
            rules.check_administrator_stays(user, None, others=bool(others - {user.id}))
            store.delete(tx, user.id)
            _note(tx, call, contract.delete, request, "user.deleted", user)
            tx.notify(USERS, f"ended:{user.id}")

        await self._db.write(change)

    async def disable(self, call: Call, request: contract.DisableUser) -> contract.User:
        check_all_environments(call, "users")
        if request.revoke_keys:
            call.require(api_keys_contract.delete.scope)

        def change(tx: Tx) -> UserRow:
            access = call.principal.access
            # First: a key that is revoked is no way in for an administrator.
            revoked = api_keys.revoke_created_by(tx, f"user:{request.id}", access) if request.revoke_keys else []
            others = _administrators(tx, call)
            old = _lesser(tx, call, request.id)
            new = old._replace(
                disabled_at=old.disabled_at or call.now, disabled_reason=request.reason, updated_at=call.now
            )
            rules.check_administrator_stays(old, new, others=bool(others - {old.id}))
            in_tx.end_sessions(tx, new)
            more = {"reason": request.reason or None, "revoked_keys": revoked or None}
            _note(tx, call, contract.disable, request, "user.disabled", new, **more)
            return new

        return message(await self._db.write(change))

    async def enable(self, call: Call, request: contract.NamedUser) -> contract.User:
        check_all_environments(call, "users")

        def change(tx: Tx) -> UserRow:
            old = _lesser(tx, call, request.id)
            if not old.disabled_at:
                return old
            new = old._replace(disabled_at=0, disabled_reason="", updated_at=call.now)
            store.save(tx, new)
            _note(tx, call, contract.enable, request, "user.enabled", new)
            return new

        return message(await self._db.write(change))

    async def change_password(self, call: Call, request: contract.ChangePassword) -> None:
        if call.principal.name != f"user:{request.id}":
            raise PermissionDenied("A password is changed by its user. Set another user's with PATCH /api/v1/users/ID.")
        rules.check_password(request.new_password)
        user = await self._db.peek(lambda tx: _user(tx, request.id))
        if not await self._passwords.is_password(user.password_hash, request.current_password, call.principal.name):
            raise contract.WrongPassword("The current password is wrong.")
        new_hash = await self._passwords.hashed(request.new_password, call.principal.name)

        def change(tx: Tx) -> None:
            found = _user(tx, request.id, to_write=True)
            if found.password_hash != user.password_hash:
                # It was changed meanwhile.
                raise contract.WrongPassword("The current password is wrong.")
            in_tx.end_sessions(tx, found._replace(password_hash=new_hash, updated_at=call.now))
            _note(tx, call, contract.change_password, request, "user.password_changed", found)

        await self._db.write(change)

    async def end_sessions(self, call: Call, request: contract.NamedUser) -> None:
        check_all_environments(call, "users")

        def change(tx: Tx) -> None:
            user = _lesser(tx, call, request.id)
            in_tx.end_sessions(tx, user)
            _note(tx, call, contract.end_sessions, request, "user.sessions_ended", user)

        await self._db.write(change)


async def seed_first_user(db: Database, ids: Ids, passwords: Passwords, now: Millis, email: str, password: str) -> None:
    """At the first start with a password for it: makes the administrator. Raises InvalidUser."""
    rules.check_email(email)
    rules.check_password(password)
    password_hash = await passwords.hashed(password)

    def change(tx: Tx) -> bool:
        if not store.add_bootstrap(tx, now):
            return False
        return store.add(
            tx,
            UserRow(
                id=new_id(ids),
                org_id=DEFAULT_ORG,
                email=email,
                email_key=rules.email_key(email),
                name="Administrator",
                role_ids=roles.ADMIN,
                password_hash=password_hash,
                epoch=0,
                created_at=now,
                created_by="",
                updated_at=now,
                last_login_at=0,
            ),
        )

    if await db.write(change):
        logger.info("first user made", extra={"email": email})


def new_id(ids: Ids) -> str:
    """Such as `user-06DGK3…`. Source of the form: protocol/errors-and-defaults.md 3."""
    return ids.new("user").replace("_", "-", 1)


def message(user: UserRow) -> contract.User:
    """What others see of a user."""
    return contract.User(
        id=user.id,
        org_id=user.org_id,
        email=user.email,
        name=user.name,
        roles=list(user.roles),
        created_at=to_datetime(user.created_at),
        updated_at=to_datetime(user.updated_at),
        last_login_at=to_datetime(user.last_login_at) if user.last_login_at else None,
        disabled=bool(user.disabled_at),
        disabled_at=to_datetime(user.disabled_at) if user.disabled_at else None,
        disabled_reason=user.disabled_reason or None,
    )


def _named(wanted: list[str] | None) -> list[str] | None:
    return None if wanted is None else [rules.role_named(each) for each in wanted]


def _user(tx: Tx, user_id: str, *, to_write: bool = False) -> UserRow:
    """Raises UserNotFound."""
    found = store.user(tx, user_id, to_write=to_write)
    if found is None:
        raise contract.UserNotFound(f"There is no user {user_id!r}.")
    return found


def _administrators(tx: Tx, call: Call) -> frozenset[str]:
    """Who is an administrator: users, and `key` where a key is one or none is needed. Read before a user is locked."""
    if call.principal.access is None or any(map(roles.gives_all, api_keys.with_role(tx, roles.ADMIN, call.now))):
        return frozenset({"key"})
    return frozenset(user.id for user in store.with_role(tx, roles.ADMIN) if roles.gives_all(user.roles))


def _lesser(tx: Tx, call: Call, user_id: str) -> UserRow:
    """A user that the caller may change: one who has no more than the caller. Raises UserNotFound, KeyExceedsMaker."""
    found = _user(tx, user_id, to_write=True)
    check_roles_within(call.principal.access, found.roles)
    return found


def _note(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    event_type: str,
    user: UserRow,
    before: UserRow | None = None,
    **more: Any,
) -> None:
    audit_notes.record(
        tx,
        call,
        operation,
        request,
        event_type,
        f"user {user.email!r}: {event_type.partition('.')[2].replace('_', ' ')}",
        user_id=user.id,
        role_ids=list(user.roles),
        role_ids_before=list(before.roles) if before else None,
        email_before=before.email if before and before.email != user.email else None,
        **more,
    )
