"""`client.users`: people who log in with an e-mail address and a password."""

from collections.abc import Sequence

from ironflow.features.users import contract
from ironflow.features.users.contract import User
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class Users:
    """Users. They are of all environments; a key of one environment does not see them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(self, email: str, password: str, *, name: str = "", roles: Sequence[str] | None = None) -> User:
        """A new user. Raises InvalidUser, UserExists, RoleNotFound, KeyExceedsMaker.

        roles: ids, or `admin`, `developer`, `viewer`; None for role_developer.
        """
        wanted = None if roles is None else list(roles)
        return await self._calls.call(
            contract.create, contract.CreateUser(email=email, password=password, name=name, roles=wanted)
        )

    def list(self, *, page_size: int = 1000) -> Listing[User]:
        """Every user by id."""
        return Listing(
            self._calls, contract.list_, contract.ListUsers(limit=page_size, paged=True), lambda page: page.users
        )

    async def get(self, user_id: str) -> User:
        """One user. Raises UserNotFound."""
        return await self._calls.call(contract.get, contract.NamedUser(id=user_id))

    async def update(
        self,
        user_id: str,
        *,
        email: str | None = None,
        name: str | None = None,
        roles: Sequence[str] | None = None,
        password: str | None = None,
    ) -> User:
        """Changes what is given. A new password ends the user's sessions. Raises as `create`, and UserNotFound."""
        wanted = None if roles is None else [*roles]
        request = contract.UpdateUser(id=user_id, email=email, name=name, roles=wanted, password=password)
        return await self._calls.call(contract.update, request)

    async def disable(self, user_id: str, *, reason: str = "", revoke_keys: bool = False) -> User:
        """Refuses the user's log-ins until `enable`, and ends the sessions.

        revoke_keys: also revokes the API keys that the user has created. Raises UserNotFound, KeyExceedsMaker,
        LastAdministrator.
        """
        request = contract.DisableUser(id=user_id, reason=reason, revoke_keys=revoke_keys)
        return await self._calls.call(contract.disable, request)

    async def enable(self, user_id: str) -> User:
        """Accepts the log-ins of a disabled user again. Raises UserNotFound, KeyExceedsMaker."""
        return await self._calls.call(contract.enable, contract.NamedUser(id=user_id))

    async def delete(self, user_id: str) -> None:
        """Deletes a user, and closes what is open with their sessions. Raises UserNotFound, KeyExceedsMaker."""
        await self._calls.call(contract.delete, contract.NamedUser(id=user_id))

    async def change_password(self, user_id: str, current_password: str, new_password: str) -> None:
        """Changes the own password, for a client with a session; all own sessions end. Raises WrongPassword."""
        request = contract.ChangePassword(id=user_id, current_password=current_password, new_password=new_password)
        await self._calls.call(contract.change_password, request)

    async def end_sessions(self, user_id: str) -> None:
        """Ends every session of a user, on every node. Raises UserNotFound, KeyExceedsMaker."""
        await self._calls.call(contract.end_sessions, contract.NamedUser(id=user_id))
