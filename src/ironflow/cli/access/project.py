"""`ironflow project`: projects."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import table
from ironflow.features.projects import contract as projects

app = App("project", help="Create and delete projects.")


@app.command(name="list")
def list_(*, org: str = "", limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the projects.

    Args:
        org: Only those of this organisation.
    """
    request = projects.ListProjects(org_id=org, limit=limit, cursor=cursor, paged=True)
    answer = cli.call(projects.list_, request)
    cli.show(
        answer,
        lambda: table(
            ["ID", "NAME", "ORGANISATION", "DESCRIPTION"],
            ([each.id, each.name, each.org_id, each.description] for each in answer.projects),
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def create(name: str, /, *, description: str = "", org: str = "", cli: Injected) -> None:
    """Create a project.

    Args:
        name: Its name.
        description: What it is for.
        org: Id of its organisation. Default: org_default
    """
    request = projects.CreateProject(name=name, description=description, org_id=org)
    answer = cli.call(projects.create, request)
    cli.show(answer, lambda: f"created project {answer.id}")


@app.command
def delete(
    project_id: str,
    /,
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Injected,
) -> None:
    """Delete a project without environments.

    Args:
        project_id: The project's id.
        yes: Do not ask for confirmation.
    """
    if not yes and not cli.confirm(f"Delete the project {project_id}?"):
        raise UsageError(f"the project {project_id} is unchanged. Add --yes to delete it.")
    answer = cli.call(projects.delete, projects.NamedProject(id=project_id))
    cli.show(answer, lambda: f"deleted {answer.deleted}")
