"""`ironflow config`: JSON documents by name."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ironflow.base.errors import IronflowError
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.server.config_file import init
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.payload import read_data
from ironflow.cli.terminal.times import since_text
from ironflow.features.config import contract as config

app = App("config", help="Read and write config documents, and write a file of settings.")
app.command(init)

Name = Annotated[str, Parameter(help="The document's name.")]
Data = Annotated[str, Parameter(help="A JSON object as text, @FILE for a file's content, - for standard input.")]


@app.command(name="list")
def list_(
    *,
    limit: Limit = 1000,
    cursor: Cursor = "",
    cli: Injected,
) -> None:
    """List the documents by name."""
    answer = cli.call(config.list_configs, config.ListConfigs(limit=limit, cursor=cursor))
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["NAME", "REVISION", "UPDATED"],
            ([each.name, str(each.revision), since_text(each.updated_at, now)] for each in answer.configs),
            right=["REVISION"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def get(name: Name, /, *, cli: Injected) -> None:
    """Show a document."""
    answer = cli.call(config.get_config, config.NamedConfig(name=name))
    if cli.json:
        cli.show(answer, lambda: "")
        return
    # Only the document goes to standard output, so that a pipe can read it.
    cli.write(msgspec.json.format(bytes(answer.data), indent=2) + b"\n")
    cli.note(f"revision {answer.revision}, {since_text(answer.updated_at, cli.clock.now())}", "dim")


@app.command(name="set")
def set_(
    name: Name,
    data: Data,
    /,
    *,
    create: Annotated[bool, Parameter(negative="")] = False,
    if_revision: int | None = None,
    cli: Injected,
) -> None:
    """Create or replace a document.

    Args:
        create: Only if the document does not exist.
        if_revision: Only if the document is at this revision.
    """
    if create and if_revision is not None:
        raise UsageError("--create and --if-revision exclude each other: a new document has no revision.")
    answer = cli.call(
        config.set_config,
        config.SetConfig(
            name=name,
            data=read_data(data, cli.stdin),
            if_match=None if if_revision is None else str(if_revision),
            if_none_match="*" if create else None,
        ),
    )
    cli.show(answer, lambda: f"stored {name}, revision {answer.revision}")


@app.command
def patch(name: Name, data: Data, /, *, if_revision: int | None = None, cli: Injected) -> None:
    """Replace some members of a document and keep the others.

    Args:
        if_revision: Only if the document is at this revision.
    """
    answer = cli.call(
        config.patch_config,
        config.SetConfig(
            name=name,
            data=read_data(data, cli.stdin),
            if_match=None if if_revision is None else str(if_revision),
        ),
    )
    cli.show(answer, lambda: f"stored {name}, revision {answer.revision}")


@app.command
def delete(name: Name, /, *, if_revision: int | None = None, cli: Injected) -> None:
    """Delete a document. A missing document is no error.

    Args:
        if_revision: Only if the document is at this revision.
    """
    cli.send(
        config.delete_config,
        config.DeleteConfig(name=name, if_match=None if if_revision is None else str(if_revision)),
    )
    cli.show({"deleted": name}, lambda: f"deleted {name}")


@app.command
def watch(
    name: Name,
    /,
    *,
    after: int | None = None,
    initial: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Show changes of a document as they happen, until interrupted.

    Args:
        after: Start after this revision.
        initial: Start with the current document.
    """

    def failed(fault: IronflowError) -> None:
        cli.note(f"{fault.message} Reconnecting.", "yellow")

    for change in cli.client.config.watch(name, after=after, initial=initial, on_error=failed):
        cli.show(
            change,
            lambda change=change: (
                f"{change.revision}  deleted"
                if change.data is None
                else f"{change.revision}  {msgspec.json.encode(change.data).decode()}"
            ),
        )
