"""`ironflow tenant`: organisations with their environments and keys."""

from cyclopts import App
from rich.text import Text

from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, table
from ironflow.features.tenants import contract as tenants

app = App("tenant", help="List tenants, and make one.")


@app.command(name="list")
def list_(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the tenants."""
    answer = cli.call(tenants.list_, tenants.ListTenants(limit=limit, cursor=cursor, paged=True))
    cli.show(
        answer,
        lambda: table(
            ["ID", "NAME", "ENVIRONMENTS", "KEYS"],
            ([each.id, each.name, str(each.env_count), str(each.key_count)] for each in answer.tenants),
            right=["ENVIRONMENTS", "KEYS"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def provision(*, name: str, environment: str = "", cli: Injected) -> None:
    """Create an organisation, a project, an environment and an administrator's key of it, all or none.

    The key is shown once, on standard output.

    Args:
        name: The tenant's name.
        environment: Name of its environment; --env is the same. Default: the tenant's name
    """
    request = tenants.ProvisionTenant(name=name, env=environment or cli.environment or "")
    # The environment that the command names is the new one, not that of the request.
    cli.environment = None
    answer = cli.call(tenants.provision, request)
    if cli.json:
        cli.show(answer, lambda: "")
        return
    cli.write(f"{answer.key}\n".encode())
    shown = [("organisation", answer.org_id), ("project", answer.project_id), ("environment", answer.environment)]
    cli.err.print(facts(shown))
    cli.note(Text("This key is not shown again.", style="dim"))
