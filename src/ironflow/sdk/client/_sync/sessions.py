# Generated from ironflow/sdk/client/features/sessions.py by generate_sync; edit that file.
"""`client.sessions`: log-in with an e-mail address and a password, and log-out."""

from ironflow.features.sessions import contract
from ironflow.features.sessions.contract import LoggedIn, LoggedOut, Session
from ironflow.sdk.client._sync.calls import Calls


class Sessions:
    """Sessions of users. A session's token is given to another client as its `api_key`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def log_in(self, email: str, password: str) -> LoggedIn:
        """A new session; `token` is a JWT. Raises WrongPassword, LogInBlocked after many wrong passwords."""
        return self._calls.call(contract.log_in, contract.LogIn(email=email, password=password))

    def log_out(self, *, everywhere: bool = False) -> LoggedOut:
        """Ends the session of this client. everywhere: all sessions of its user."""
        return self._calls.call(contract.log_out, contract.LogOut(everywhere=everywhere))

    def current(self) -> Session:
        """Who this client is: its key or user, and its roles."""
        return self._calls.call(contract.current, contract.GetCaller())
