"""`ironflow logout`: forgets what `ironflow login` stored, and ends the session of a user."""

from cyclopts import App

from ironflow.base.errors import IronflowError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.stored_keys import forget_key, stored_key
from ironflow.features.sessions import contract as sessions

app = App("logout")


@app.default
def logout(*, everywhere: bool = False, cli: Injected) -> None:
    """Forget what `login` stored for this server. A user's session ends; an API key stays valid.

    Args:
        everywhere: End all sessions of the user, also those of browsers and other machines.
    """
    stored = stored_key(cli.address)
    if stored.startswith("eyJ"):
        _end(cli, stored, everywhere)
    was_there = forget_key(cli.address)
    cli.show(
        {"server": cli.address, "forgotten": was_there},
        lambda: f"{'forgot' if was_there else 'there was no'} key for {cli.address}",
    )


def _end(cli: Cli, token: str, everywhere: bool) -> None:
    """Ends the session; one that the server cannot be asked to end expires by itself, unless all were to end."""
    session = Cli(url=cli.url, api_key=token)
    try:
        session.call(sessions.log_out, sessions.LogOut(everywhere=everywhere))
    except IronflowError:
        if everywhere:
            raise
    finally:
        session.close()
