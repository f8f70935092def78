"""`ironflow apikey`: API keys of clients and workers."""

from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from ironflow.cli import refused
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, table
from ironflow.cli.terminal.times import since_text, time_text
from ironflow.features.api_keys import contract as api_keys
from ironflow.features.api_keys.contract import NewApiKey

app = App("apikey", help="Create, rotate and revoke API keys.")

KeyId = Annotated[str, Parameter(help="The key's id, such as apikey_06DGK3….")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask for confirmation.")]


@app.command
def create(
    name: str,
    /,
    *,
    role: list[str] | None = None,
    env: str = "",
    expires_in: str = "",
    platform: Annotated[bool, Parameter(negative="", show=False)] = False,
    cli: Injected,
) -> None:
    """Create a key. Its plain text is shown once, on standard output.

    Args:
        name: A name, such as the place where the key is used.
        role: Id of a role, such as role_viewer; can be repeated. Default: role_developer
        env: The only environment that the key may use. Default: all
        expires_in: Lifetime, such as 90d. Default: unlimited
    """
    if platform:
        raise UsageError(refused.PLATFORM_KEY)
    request = api_keys.CreateApiKey(name=name, role_ids=role, env_id=env, expires_in=expires_in)
    _show_secret(cli, cli.call(api_keys.create, request))


@app.command(name="list")
def list_(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the keys."""
    answer = cli.call(api_keys.list_, api_keys.ListApiKeys(limit=limit, cursor=cursor, paged=True))
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["ID", "NAME", "KEY", "ENVIRONMENT", "ROLES", "LAST USED", "EXPIRES"],
            (
                [
                    each.id,
                    each.name,
                    f"{each.key_prefix}…",
                    each.environment_id or "all",
                    ", ".join(each.role_ids),
                    since_text(each.last_used_at, now) if each.last_used_at else "never",
                    time_text(each.expires_at) if each.expires_at else "never",
                ]
                for each in answer.api_keys
            ),
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def rotate(key_id: KeyId, /, *, grace: str = "", cli: Injected) -> None:
    """Replace the secret of a key.

    Args:
        grace: For so long the old secret is accepted too, such as 1h. Default: not at all
    """
    _show_secret(cli, cli.call(api_keys.rotate, api_keys.RotateApiKey(id=key_id, grace=grace)))


@app.command
def delete(key_id: KeyId, /, *, yes: Yes = False, cli: Injected) -> None:
    """Revoke a key at once, and close the connections that are open with it."""
    if not yes and not cli.confirm(f"Revoke the key {key_id}?"):
        raise UsageError(f"the key {key_id} is unchanged. Add --yes to revoke it.")
    cli.send(api_keys.delete, api_keys.NamedApiKey(id=key_id))
    cli.show({"deleted": key_id}, lambda: f"revoked {key_id}")


@app.command
def set_roles(key_id: KeyId, /, *role: str, cli: Injected) -> None:
    """Replace the roles of a key.

    Args:
        role: Ids of roles.
    """
    answer = cli.call(api_keys.set_roles, api_keys.SetRoles(id=key_id, role_ids=list(role)))
    cli.show(answer, lambda: f"{answer.id} has {', '.join(answer.role_ids) or 'no role'}")


@app.command
def explain(action: str, /, *, key: str = "", role: list[str] | None = None, resource: str = "", cli: Injected) -> None:
    """Show whether a key or a role may do something, and the rule that decides it.

    Args:
        action: A scope, such as events:emit.
        key: Id of a key.
        role: Id of a role, instead of a key; can be repeated.
        resource: What it is done to, such as events/order.placed.
    """
    if bool(key) == bool(role):
        raise UsageError("name either a key with --key or roles with --role.")
    request = api_keys.Explain(action=action, subject=key, roles=role or [], resource=resource)
    answer = cli.call(api_keys.explain, request)
    cli.show(answer, lambda: f"{'allowed' if answer.allowed else 'refused'}: {answer.reason}")


def _show_secret(cli: Cli, key: NewApiKey) -> None:
    """The plain text alone on standard output, so that a script can keep it; what it is on standard error."""
    if cli.json:
        cli.show(key, lambda: "")
        return
    cli.write(f"{key.key}\n".encode())
    lines = facts(
        [
            ("id", key.id),
            ("environment", key.environment_id or "all"),
            ("roles", ", ".join(key.role_ids)),
            ("expires", time_text(key.expires_at) if key.expires_at else "never"),
        ]
    )
    cli.err.print(lines)
    cli.note(Text("This key is not shown again.", style="dim"))
