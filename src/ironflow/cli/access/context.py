"""`ironflow context`: servers by name, and the one that commands go to."""

import msgspec
from cyclopts import App

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.stored_contexts import Context, new_context, store_contexts, stored_contexts
from ironflow.cli.stored_keys import stored_key
from ironflow.cli.terminal.output import facts, table

app = App("context", help="Name servers, and choose the one that commands go to.")


@app.command(name="list")
def list_(*, cli: Injected) -> None:
    """List the contexts; a star marks the current one."""
    found = stored_contexts()
    rows = [_row(name, context, found.current) for name, context in sorted(found.contexts.items())]
    cli.show(
        {"contexts": rows},
        lambda: table(
            ["", "CONTEXT", "SERVER", "ENVIRONMENT", "LOGGED IN"],
            (
                [
                    "*" if name == found.current else "",
                    name,
                    context.url,
                    context.environment,
                    "yes" if stored_key(context.url) else "no",
                ]
                for name, context in sorted(found.contexts.items())
            ),
        ),
    )
    if not rows:
        cli.note("no contexts; `ironflow context set NAME URL` makes one", "dim")


@app.command(name="set")
def set_(name: str, server: str, /, *, environment: str = "", use: bool = False, cli: Injected) -> None:
    """Create or change a context.

    Keys are kept by server: log in with `ironflow login --context NAME`.

    Args:
        name: Its name.
        server: Address of the server, such as https://flow.example
        environment: Environment of its commands. Default: that of the API key
        use: Make it the current one.
    """
    if not name.strip():
        raise UsageError("a context has a name of at least one character.")
    context = new_context(server, environment)
    found = stored_contexts()
    current = name if use else found.current
    store_contexts(msgspec.structs.replace(found, current=current, contexts=found.contexts | {name: context}))
    cli.show(_row(name, context, current), lambda: f"context {name} is {_text(context)}")


@app.command
def use(name: str, /, *, cli: Injected) -> None:
    """Make a context the current one. `IRONFLOW_SERVER_URL` and `--url` go before it.

    Args:
        name: Its name.
    """
    found = stored_contexts()
    context = found.named(name)
    store_contexts(msgspec.structs.replace(found, current=name))
    cli.show(_row(name, context, name), lambda: f"commands go to {_text(context)}")


@app.command
def show(*, cli: Injected) -> None:
    """Show the server and environment that a command with these options goes to."""
    answer = {
        "context": stored_contexts().current,
        "url": cli.address,
        "environment": cli.environment or "",
        "logged_in": bool(stored_key(cli.address)),
    }
    cli.show(
        answer,
        lambda: facts(
            [
                ("Current context", answer["context"] or "none"),
                ("Server", cli.address),
                ("Environment", cli.environment or "that of the API key"),
                ("Logged in", "yes" if answer["logged_in"] else "no"),
            ]
        ),
    )


@app.command
def clear(*, cli: Injected) -> None:
    """Have no current context: commands go to `IRONFLOW_SERVER_URL`, else to the local server."""
    store_contexts(msgspec.structs.replace(stored_contexts(), current=""))
    cli.show({"current": ""}, lambda: "there is no current context")


@app.command
def delete(name: str, /, *, cli: Injected) -> None:
    """Delete a context. The key of its server stays stored.

    Args:
        name: Its name.
    """
    found = stored_contexts()
    found.named(name)
    left = {each: context for each, context in found.contexts.items() if each != name}
    store_contexts(
        msgspec.structs.replace(found, current="" if found.current == name else found.current, contexts=left)
    )
    cli.show({"deleted": name}, lambda: f"deleted context {name}")


def _row(name: str, context: Context, current: str) -> dict[str, str | bool]:
    return {
        "name": name,
        "url": context.url,
        "environment": context.environment,
        "current": name == current,
        "logged_in": bool(stored_key(context.url)),
    }


def _text(context: Context) -> str:
    return context.url + (f", environment {context.environment}" if context.environment else "")
