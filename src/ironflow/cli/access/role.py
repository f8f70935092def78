"""`ironflow role`: named sets of policies."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, table
from ironflow.features.roles import contract as roles

app = App("role", help="Create roles and give them policies.")

RoleId = Annotated[str, Parameter(help="The role's id, such as role_viewer.")]
PolicyId = Annotated[str, Parameter(help="The policy's id, such as policy_06DGK3….")]


@app.command(name="list")
def list_(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the roles, the built-in ones first."""
    answer = cli.call(roles.list_, roles.ListRoles(limit=limit, cursor=cursor, paged=True))
    cli.show(
        answer,
        lambda: table(
            ["ID", "NAME", "KEYS", "POLICIES"],
            (
                [
                    each.id,
                    each.name,
                    str(each.api_key_count),
                    "built in" if each.is_default else str(len(each.policies)),
                ]
                for each in answer.roles
            ),
            right=["KEYS"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def create(name: str, /, *, org: str = "", cli: Injected) -> None:
    """Create a role without policies, which allows nothing.

    Args:
        name: The role's name.
        org: Id of its organisation. Default: that of the key
    """
    answer = cli.call(roles.create, roles.CreateRole(name=name, org_id=org))
    cli.show(answer, lambda: f"created role {answer.id}")


@app.command
def get(role_id: RoleId, /, *, cli: Injected) -> None:
    """Show a role with its policies."""
    answer = cli.call(roles.get, roles.NamedRole(id=role_id))
    cli.show(
        answer,
        lambda: facts(
            [
                ("role", answer.id),
                ("name", answer.name),
                ("keys", str(answer.api_key_count)),
                ("policies", "built in" if answer.is_default else ", ".join(answer.policies) or "none"),
            ]
        ),
    )


@app.command
def assign_policy(role_id: RoleId, policy_id: PolicyId, /, *, cli: Injected) -> None:
    """Give a role a policy."""
    cli.send(roles.assign_policy, roles.RolePolicy(id=role_id, policy_id=policy_id))
    cli.show({"role": role_id, "policy": policy_id}, lambda: f"{role_id} has {policy_id}")


@app.command
def remove_policy(role_id: RoleId, policy_id: PolicyId, /, *, cli: Injected) -> None:
    """Take a policy from a role."""
    cli.send(roles.remove_policy, roles.RolePolicy(id=role_id, policy_id=policy_id))
    cli.show({"role": role_id, "removed": policy_id}, lambda: f"removed {policy_id} from {role_id}")


@app.command
def delete(
    role_id: RoleId, /, *, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False, cli: Injected
) -> None:
    """Delete a role that no key has.

    Args:
        yes: Do not ask for confirmation.
    """
    if not yes and not cli.confirm(f"Delete the role {role_id}?"):
        raise UsageError(f"the role {role_id} is unchanged. Add --yes to delete it.")
    cli.send(roles.delete, roles.NamedRole(id=role_id))
    cli.show({"deleted": role_id}, lambda: f"deleted {role_id}")
