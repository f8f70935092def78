"""`ironflow server`: is it alive, is it ready, what is it, what can it do."""

from cyclopts import App

from ironflow.base.spelling import writer
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Here
from ironflow.cli.output import facts, status_text
from ironflow.cli.times import moment_text, time_text
from ironflow.features.server_state import contract as server_state
from ironflow.features.server_state.contract import Nothing

app = App("server", help="Ask how the server is.")


@app.command
def health(*, cli: Here) -> None:
    """Whether the server's process is alive."""
    answer = cli.ask(server_state.health, Nothing())
    cli.show(
        answer,
        lambda: facts(
            [
                ("status", status_text(answer.status)),
                ("version", answer.version),
                ("time", time_text(answer.timestamp)),
                ("warnings", "\n".join(answer.warnings or [])),
            ]
        ),
    )


@app.command
def ready(*, cli: Here) -> Exit:
    """Whether the server can do its work now; exit code 75 when it cannot."""
    answer = cli.ask(server_state.ready, Nothing())
    problems = [(f"issue: {name}", text) for name, text in answer.issues.items()]
    remarks = [(f"warning: {name}", text) for name, text in answer.warnings.items()]
    cli.show(answer, lambda: facts([("status", status_text(answer.status)), *problems, *remarks]))
    return Exit.TRY_AGAIN if answer.issues else Exit.OK


@app.command
def info(*, cli: Here) -> None:
    """Version, age, size and database of the server."""
    answer = cli.ask(server_state.info, Nothing())
    shown = writer(type(answer)).write(answer)
    started = moment_text(answer.started_at, cli.clock.now())
    cli.show(
        answer,
        lambda: facts(
            (name.replace("_", " "), started if name == "started_at" else str(value)) for name, value in shown.items()
        ),
    )


@app.command
def capabilities(*, cli: Here) -> None:
    """What the server offers to clients."""
    answer = cli.ask(server_state.capabilities, Nothing())
    cli.show(
        answer,
        lambda: facts(
            [
                ("version", answer.version),
                ("transports", ", ".join(answer.transports)),
                ("features", "\n".join(answer.features)),
                ("API key", "required" if answer.auth_required else "not required"),
            ]
        ),
    )
