# Generated from ironflow/sdk/client/features/users.py by generate_sync; edit that file.
"""`client.users`: people who log in with an e-mail address and a password."""

from collections.abc import Sequence

from ironflow.features.users import contract
from ironflow.features.users.contract import User
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing


class Users:
    """Users. They are of all environments; a key of one environment does not see them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(self, email: str, password: str, *, name: str = "", roles: Sequence[str] | None = None) -> User:
        """A new user. Raises InvalidUser, UserExists, RoleNotFound, KeyExceedsMaker.

        roles: ids, or `admin`, `developer`, `viewer`; None for role_developer.
        """
        wanted = None if roles is None else list(roles)
        return self._calls.call(
            contract.create, contract.CreateUser(email=email, password=password, name=name, roles=wanted)
        )

    def list(self, *, page_size: int = 1000) -> Listing[User]:
        """Every user by id."""
        return Listing(
            self._calls, contract.list_, contract.ListUsers(limit=page_size, paged=True), lambda page: page.users
        )

    def get(self, user_id: str) -> User:
        """One user. Raises UserNotFound."""
        return self._calls.call(contract.get, contract.NamedUser(id=user_id))

    def update(
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
        return self._calls.call(contract.update, request)

    def disable(self, user_id: str, *, reason: str = "", revoke_keys: bool = False) -> User:
        """Refuses the user's log-ins until `enable`, and ends the sessions.

        revoke_keys: also revokes the API keys that the user has created. Raises UserNotFound, KeyExceedsMaker,
        LastAdministrator.
        """
        request = contract.DisableUser(id=user_id, reason=reason, revoke_keys=revoke_keys)
        return self._calls.call(contract.disable, request)

    def enable(self, user_id: str) -> User:
        """Accepts the log-ins of a disabled user again. Raises UserNotFound, KeyExceedsMaker."""
        return self._calls.call(contract.enable, contract.NamedUser(id=user_id))

    def delete(self, user_id: str) -> None:
        """Deletes a user, and closes what is open with their sessions. Raises UserNotFound, KeyExceedsMaker."""
        self._calls.call(contract.delete, contract.NamedUser(id=user_id))

    def change_password(self, user_id: str, current_password: str, new_password: str) -> None:
        """Changes the own password, for a client with a session; all own sessions end. Raises WrongPassword."""
        request = contract.ChangePassword(id=user_id, current_password=current_password, new_password=new_password)
        self._calls.call(contract.change_password, request)

    def end_sessions(self, user_id: str) -> None:
        """Ends every session of a user, on every node. Raises UserNotFound, KeyExceedsMaker."""
        self._calls.call(contract.end_sessions, contract.NamedUser(id=user_id))
