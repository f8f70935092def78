"""`ironflow user`: people who log in with an e-mail address and a password."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, table
from ironflow.cli.terminal.times import since_text, time_text
from ironflow.features.users import contract as users
from ironflow.features.users.contract import User

app = App("user", help="Create, change, disable and delete users, who log in with a password.")

UserId = Annotated[str, Parameter(help="The user's id, such as user-06DGK3….")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask for confirmation.")]


@app.command
def create(email: str, /, *, name: str = "", role: list[str] | None = None, cli: Injected) -> None:
    """Create a user. The password comes from standard input, or from a question on the terminal.

    Args:
        email: The e-mail address to log in with.
        name: The name to show.
        role: Id of a role, or admin, developer or viewer; can be repeated. Default: developer
    """
    request = users.CreateUser(email=email, password=asked_password(cli, "New password"), name=name, roles=role)
    answer = cli.call(users.create, request)
    cli.show(answer, lambda: f"created user {answer.email}, {answer.id}")


@app.command(name="list")
def list_(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the users."""
    answer = cli.call(users.list_, users.ListUsers(limit=limit, cursor=cursor, paged=True))
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["ID", "EMAIL", "NAME", "ROLES", "LAST LOG-IN", "DISABLED"],
            (
                [
                    each.id,
                    each.email,
                    each.name,
                    ", ".join(each.roles),
                    since_text(each.last_login_at, now) if each.last_login_at else "never",
                    since_text(each.disabled_at, now) if each.disabled_at else "",
                ]
                for each in answer.users
            ),
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def get(user_id: UserId, /, *, cli: Injected) -> None:
    """Show a user."""
    _show(cli, cli.call(users.get, users.NamedUser(id=user_id)))


@app.command
def update(
    user_id: UserId,
    /,
    *,
    email: str | None = None,
    name: str | None = None,
    role: list[str] | None = None,
    cli: Injected,
) -> None:
    """Change a user. New roles count at once.

    Args:
        email: Another e-mail address.
        name: Another name.
        role: The roles from now on; can be repeated.
    """
    _show(cli, cli.call(users.update, users.UpdateUser(id=user_id, email=email, name=name, roles=role)))


@app.command
def set_password(user_id: UserId, /, *, cli: Injected) -> None:
    """Set the password of a user, and end the user's sessions.

    The password comes from standard input, or from a question on the terminal.
    """
    request = users.UpdateUser(id=user_id, password=asked_password(cli, "New password"))
    answer = cli.call(users.update, request)
    cli.show(answer, lambda: f"set the password of {answer.email}")


@app.command
def end_sessions(user_id: UserId, /, *, cli: Injected) -> None:
    """End every session of a user, and close the connections that are open with them."""
    cli.send(users.end_sessions, users.NamedUser(id=user_id))
    cli.show({"id": user_id, "status": "ended"}, lambda: f"ended the sessions of {user_id}")


@app.command
def disable(user_id: UserId, /, *, reason: str = "", revoke_keys: bool = False, cli: Injected) -> None:
    """Refuse the log-ins of a user, and end the user's sessions, until `user enable`.

    Args:
        reason: Why; it is kept with the user and in the audit trail.
        revoke_keys: Revoke the API keys that the user has created too; they stay revoked.
    """
    request = users.DisableUser(id=user_id, reason=reason, revoke_keys=revoke_keys)
    answer = cli.call(users.disable, request)
    cli.show(answer, lambda: f"disabled {answer.email}")


@app.command
def enable(user_id: UserId, /, *, cli: Injected) -> None:
    """Accept the log-ins of a disabled user again."""
    answer = cli.call(users.enable, users.NamedUser(id=user_id))
    cli.show(answer, lambda: f"enabled {answer.email}")


@app.command
def delete(user_id: UserId, /, *, yes: Yes = False, cli: Injected) -> None:
    """Delete a user, and end the user's sessions."""
    if not yes and not cli.confirm(f"Delete the user {user_id}?"):
        raise UsageError(f"the user {user_id} is unchanged. Add --yes to delete it.")
    cli.send(users.delete, users.NamedUser(id=user_id))
    cli.show({"deleted": user_id}, lambda: f"deleted {user_id}")


def asked_password(cli: Cli, question: str) -> str:
    """A password from the terminal, or the first line of standard input. Raises UsageError."""
    if sys.stdin.isatty():
        password = cli.err.input(f"{question}: ", password=True)
    else:
        password = cli.stdin.readline().decode(errors="replace").rstrip("\r\n")
    if not password:
        raise UsageError("no password was given. Send it on standard input.")
    return password


def _show(cli: Cli, user: User) -> None:
    cli.show(
        user,
        lambda: facts(
            [
                ("id", user.id),
                ("email", user.email),
                ("name", user.name),
                ("roles", ", ".join(user.roles)),
                ("created", time_text(user.created_at)),
                ("last log-in", time_text(user.last_login_at) if user.last_login_at else "never"),
                *(
                    [("disabled", f"{time_text(user.disabled_at)} {user.disabled_reason or ''}")]
                    if user.disabled_at
                    else []
                ),
            ]
        ),
    )
