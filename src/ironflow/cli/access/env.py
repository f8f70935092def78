"""`ironflow env`: environments, the walls between the data of one server."""

import time
from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.times import since_text
from ironflow.features.environment_deletions import contract as deletions
from ironflow.features.environments import contract as environments

# How often the progress of a deletion is asked for.
LOOK_S = 0.5

app = App("env", help="Create, rename and delete environments.")

Name = Annotated[str, Parameter(help="The environment's name or id.")]


@app.command(name="list")
def list_(*, project: str = "", limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the environments, default first.

    Args:
        project: Only those of this project.
    """
    request = environments.ListEnvironments(project_id=project, limit=limit, cursor=cursor, paged=True)
    answer = cli.call(environments.list_, request)
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["NAME", "ID", "PROJECT", "CREATED"],
            (
                [
                    each.name,
                    each.id,
                    each.project_id,
                    "" if each.name == "default" else since_text(each.created_at, now),
                ]
                for each in answer.environments
            ),
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def create(name: Name, /, *, project: str = "", color: str = "", cli: Injected) -> None:
    """Create an environment.

    Args:
        project: Id of its project.
        color: Its colour in the dashboard.
    """
    request = environments.CreateEnvironment(name=name, project_id=project, color=color)
    answer = cli.call(environments.create, request)
    cli.show(answer, lambda: f"created environment {answer.name}, {answer.id}")


@app.command
def rename(name: Name, new_name: str, /, *, cli: Injected) -> None:
    """Rename an environment. Its data and keys stay with it.

    Args:
        new_name: The new name.
    """
    answer = cli.call(environments.update, environments.UpdateEnvironment(id=name, name=new_name))
    cli.show(answer, lambda: f"renamed {name} to {answer.name}")


@app.command
def delete(
    name: Name,
    /,
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    no_wait: bool = False,
    cli: Injected,
) -> None:
    """Delete an environment with all its data and API keys.

    The keys are revoked at once. The data is removed in small transactions, also after a restart of the server.

    Args:
        yes: Do not ask for confirmation.
        no_wait: Do not wait until the data is removed; `ironflow env deletions` shows how far it is.
    """
    question = f"Delete the environment {name} with all its events, runs, other data and API keys?"
    if not yes and not cli.confirm(question):
        raise UsageError(f"the environment {name} is unchanged. Add --yes to delete it.")
    started = cli.call(environments.delete, environments.DeleteEnvironment(id=name, with_data=True))
    asked = deletions.NamedDeletion(id=started.id or "")
    deletion = cli.call(deletions.get, asked)
    with cli.waiting(f"deleting {name}"):
        while not no_wait and deletion.status == "deleting":
            time.sleep(LOOK_S)
            deletion = cli.call(deletions.get, asked)
    verb = "deleting" if deletion.status == "deleting" else "deleted"
    cli.show(deletion, lambda: f"{verb} {name}, {deletion.rows_removed} rows")


@app.command(name="deletions")
def list_deletions(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the environments that were deleted or are being deleted, with the rows removed so far."""
    answer = cli.call(deletions.list_, deletions.ListDeletions(limit=limit, cursor=cursor, paged=True))
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["NAME", "ID", "STATUS", "TABLE", "ROWS", "STARTED"],
            (
                [each.name, each.id, each.status, each.table, str(each.rows_removed), since_text(each.started_at, now)]
                for each in answer.deletions
            ),
            right=["ROWS"],
        ),
    )
    note_more(cli, answer.next_cursor)
