"""`ironflow org`: organisations."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, table
from ironflow.cli.terminal.times import time_text
from ironflow.features.orgs import contract as orgs

app = App("org", help="Create and delete organisations.")

OrgId = Annotated[str, Parameter(help="The organisation's id, such as org_06DGK3….")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask for confirmation.")]


@app.command(name="list")
def list_(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the organisations."""
    answer = cli.call(orgs.list_, orgs.ListOrgs(limit=limit, cursor=cursor, paged=True))
    cli.show(answer, lambda: table(["ID", "NAME"], ([each.id, each.name] for each in answer.orgs)))
    note_more(cli, answer.next_cursor)


@app.command
def create(name: str, /, *, cli: Injected) -> None:
    """Create an organisation.

    Args:
        name: Its name.
    """
    answer = cli.call(orgs.create, orgs.CreateOrg(name=name))
    cli.show(answer, lambda: f"created organisation {answer.id}")


@app.command
def get(org_id: OrgId, /, *, cli: Injected) -> None:
    """Show an organisation."""
    answer = cli.call(orgs.get, orgs.NamedOrg(id=org_id))
    shown = [
        ("organisation", answer.id),
        ("name", answer.name),
        ("time zone", answer.preferences.default_timezone if answer.preferences else None),
        ("updated", time_text(answer.updated_at)),
    ]
    cli.show(answer, lambda: facts(shown))


@app.command
def delete(org_id: OrgId, /, *, yes: Yes = False, cli: Injected) -> None:
    """Delete an organisation without projects."""
    if not yes and not cli.confirm(f"Delete the organisation {org_id}?"):
        raise UsageError(f"the organisation {org_id} is unchanged. Add --yes to delete it.")
    cli.send(orgs.delete, orgs.NamedOrg(id=org_id))
    cli.show({"deleted": org_id}, lambda: f"deleted {org_id}")
