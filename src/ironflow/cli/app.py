"""The command tree, its global options, and the translation of errors into a line and an exit code."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, CycloptsError, Group, Parameter

from ironflow.base.errors import FailureElsewhere, IronflowError, Unauthenticated
from ironflow.base.version import VERSION
from ironflow.cli.exits import Exit, Interrupted, Terminated, TerminatedBySignal, UsageError, exit_of
from ironflow.cli.invocation import Cli
from ironflow.cli.refused import AS_ORG, REFUSED
from ironflow.cli.stored_contexts import place
from ironflow.cli.terminal.output import console

if TYPE_CHECKING:
    from ironflow.sdk.values.codec import Codec


def default_text(default: object) -> str | None:
    """How help shows a default; None, and so not at all, for what is off or empty."""
    return None if default in (None, False, "") else str(default)


_RUN = Group("Run", sort_key=1)
_SEND = Group("Send", sort_key=2)
_LOOK = Group("Look and change", sort_key=3)
_ACCESS = Group("Access", sort_key=4)
_ABOUT = Group("About", sort_key=5)
_GLOBAL = Group("Global options", sort_key=6)
# Global options that take a value.
_WITH_VALUE = ("--url", "--server", "-s", "--api-key", "--env", "--context", "--codec", "--as-org")

# Command, module in this package, group of the help page. A command is the `app` of its module, imported on first use.
COMMANDS = (
    ("serve", "server.serve", _RUN),
    ("dev", "worker.dev", _RUN),
    ("worker", "worker.worker", _RUN),
    ("init", "worker.init", _RUN),
    ("register", "function.register", _RUN),
    ("emit", "event.emit", _SEND),
    ("invoke", "function.invoke", _SEND),
    ("topic", "topic", _SEND),
    ("subscribe", "event.subscribe", _LOOK),
    ("run", "run.run", _LOOK),
    ("inspect", "run.inspect", _LOOK),
    ("debug-adapter", "run.debug_adapter", _LOOK),
    ("replay", "run.replay", _LOOK),
    ("event", "event.event", _LOOK),
    ("schema", "event.schema", _LOOK),
    ("function", "function.function", _LOOK),
    ("schedule", "function.schedule", _LOOK),
    ("debounce", "function.debounce", _LOOK),
    ("circuit-breaker", "function.circuit_breaker", _LOOK),
    ("entity", "event.entity", _LOOK),
    ("stream", "event.stream", _LOOK),
    ("sql", "projection.sql", _LOOK),
    ("sql-projection", "projection.sql_projection", _LOOK),
    ("group", "group", _LOOK),
    ("projection", "projection.projection", _LOOK),
    ("webhook", "webhook", _LOOK),
    ("kv", "kv", _LOOK),
    ("config", "config", _LOOK),
    ("context", "access.context", _ACCESS),
    ("login", "access.login", _ACCESS),
    ("logout", "access.logout", _ACCESS),
    ("apikey", "access.apikey", _ACCESS),
    ("user", "access.user", _ACCESS),
    ("role", "access.role", _ACCESS),
    ("policy", "access.policy", _ACCESS),
    ("org", "access.org", _ACCESS),
    ("project", "access.project", _ACCESS),
    ("env", "access.env", _ACCESS),
    ("tenant", "access.tenant", _ACCESS),
    ("secret", "access.secret", _ACCESS),
    ("audit", "access.audit", _ACCESS),
    ("validate", "server.validate", _ABOUT),
    ("server", "server.server", _ABOUT),
    ("completion", "completion", _ABOUT),
    ("version", "server.version", _ABOUT),
)

app = App(
    "ironflow",
    help="Durable workflows on a permanent event log.",
    help_format="markdown",
    # Read by `run_command`, because it counts only before the command: `event schema register x --version 2`.
    version_flags=(),
    suppress_keyboard_interrupt=False,
    help_epilogue="Every option and the exit codes: docs/reference/cli.md",
    default_parameter=Parameter(negative=(), show_default=default_text),
)
# Otherwise Ctrl-C would end the process before `guarded` sees it.
app.meta.suppress_keyboard_interrupt = False
for _name, _module, _group in COMMANDS:
    app.command(f"ironflow.cli.{_module}:app", name=_name, group=_group)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    url: Annotated[
        str | None,
        Parameter(name=["--url", "--server", "-s"], env_var="IRONFLOW_SERVER_URL", group=_GLOBAL, negative=""),
    ] = None,
    api_key: Annotated[str | None, Parameter(env_var="IRONFLOW_API_KEY", group=_GLOBAL, negative="")] = None,
    env: Annotated[str | None, Parameter(env_var="IRONFLOW_ENV", group=_GLOBAL, negative="")] = None,
    context: Annotated[str | None, Parameter(env_var="IRONFLOW_CONTEXT", group=_GLOBAL, negative="")] = None,
    codec: Annotated[str, Parameter(env_var="IRONFLOW_CODEC", group=_GLOBAL, negative="")] = "",
    as_org: Annotated[str | None, Parameter(show=False)] = None,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], group=_GLOBAL, negative="")] = False,
    json: Annotated[bool, Parameter(group=_GLOBAL, negative="")] = False,
) -> int:
    """Runs one command with the global options.

    Args:
        url: Address of the server. Default: that of the current context, else http://localhost:9123
        api_key: API key sent with each request.
        env: Environment. Default: that of the context or the API key, else `default`.
        context: Name of a server and environment; see `ironflow context`.
        codec: A Codec as MODULE:NAME, which encodes data that is sent and decodes what is shown.
        verbose: Report each request with its duration on standard error.
        json: Print the REST API's JSON response.
    """
    if as_org:
        raise UsageError(AS_ORG)
    url, env = place(url, env, context)
    cli = Cli(
        url=url, api_key=api_key, environment=env, verbose=verbose, json=json, codec_target=codec, codec=_codec(codec)
    )
    command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    try:
        ended: Any = command(*bound.args, **bound.kwargs, **dict.fromkeys(ignored, cli))
    finally:
        cli.close()
    return ended if isinstance(ended, int) else Exit.OK


def _codec(target: str) -> "Codec | None":
    """Raises UsageError."""
    if not target:
        return None
    # Imported here, because most commands need none.
    from ironflow.cli.worker.load import load_codec

    return load_codec(target)


def load_all() -> None:
    """Imports every command, so that the list of commands can show their summaries."""
    for name, _, _ in COMMANDS:
        app[name]


def run_command(arguments: list[str]) -> int:
    """Runs the command named by `arguments`; returns its exit code."""
    before, command = _command_of(arguments)
    if "--version" in before:
        console().print(VERSION)
        return Exit.OK
    if command is None:
        load_all()
    return guarded(lambda: _run(arguments, command), arguments)


def _run(arguments: list[str], command: str | None) -> int:
    if command in REFUSED:
        raise UsageError(REFUSED[command])
    if command is not None and command not in app:
        # Otherwise --help after an unknown command would show that of the program.
        app.parse_args([command], exit_on_error=False, print_error=False)
    if command is not None:
        _drop_version_flags(app[command])
    return app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")


def _command_of(arguments: list[str]) -> tuple[list[str], str | None]:
    """The options before the command, without their values, and the command; None where there is none."""
    options: list[str] = []
    tokens = iter(arguments)
    for token in tokens:
        if not token.startswith("-"):
            return options, token
        options.append(token)
        if token in _WITH_VALUE:
            next(tokens, None)
    return options, None


def _drop_version_flags(command: App) -> None:
    command.version_flags = ()
    for name in [each for each in command if not each.startswith("-")]:
        _drop_version_flags(command[name])


def guarded(run: Callable[[], int | None], arguments: list[str]) -> int:
    """Returns the result of `run`, or writes its error as one line to standard error and returns the exit code."""
    try:
        return run() or Exit.OK
    except CycloptsError as fault:
        return _report_error(UsageError(_plain(fault)), arguments)
    except Unauthenticated as fault:
        hint = "Set IRONFLOW_API_KEY, or run `ironflow login`."
        return _report_error(Unauthenticated(f"{fault.message} {hint}"), arguments)
    except IronflowError as fault:
        return _report_error(fault, arguments)
    except TerminatedBySignal:
        return _report_error(Terminated(), arguments)
    except KeyboardInterrupt:
        return _report_error(Interrupted(), arguments)
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe; a flush at the end of the process would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


def _report_error(fault: IronflowError, arguments: list[str]) -> int:
    code = exit_of(fault)
    if "--json" in arguments:
        body: dict[str, Any] = {"error": fault.message, "code": fault.code, "exit": int(code)}
        if isinstance(fault, FailureElsewhere) and fault.error_class:
            body |= {"error_class": fault.error_class, "details": fault.details}
        sys.stderr.buffer.write(msgspec.json.encode(body) + b"\n")
        sys.stderr.flush()
        return code
    terminal = console(stderr=True)
    terminal.print("error:", style="bold red", end=" ")
    terminal.print(fault.message)
    return code


def _plain(fault: CycloptsError) -> str:
    text = " ".join(str(fault).split())
    chain = " ".join(fault.command_chain or ())
    return f"{text} See `{' '.join(filter(None, ('ironflow', chain)))} --help`."
