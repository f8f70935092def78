"""The command tree, its global options, and the one place where an error becomes a line and an exit code."""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from cyclopts import App, CycloptsError, Group, Parameter

from ironflow.base.errors import IronflowError
from ironflow.base.version import VERSION
from ironflow.cli.exits import Exit, Interrupted, UsageError, exit_of
from ironflow.cli.invocation import Cli
from ironflow.cli.output import console


def default_text(default: object) -> str | None:
    """How help shows a default; None, and so not at all, for what is off or empty."""
    return None if default in (None, False, "") else str(default)


_RUN = Group("Run", sort_key=1)
_SEND = Group("Send", sort_key=2)
_LOOK = Group("Look and change", sort_key=3)
_ABOUT = Group("About", sort_key=4)
_GLOBAL = Group("Global options", sort_key=5)

# A command is the `app` of the module of its name, imported when it is used or its help is wanted.
COMMANDS = (
    ("serve", _RUN),
    ("dev", _RUN),
    ("worker", _RUN),
    ("init", _RUN),
    ("emit", _SEND),
    ("invoke", _SEND),
    ("topic", _SEND),
    ("subscribe", _LOOK),
    ("run", _LOOK),
    ("inspect", _LOOK),
    ("event", _LOOK),
    ("schema", _LOOK),
    ("function", _LOOK),
    ("debounce", _LOOK),
    ("stream", _LOOK),
    ("sql", _LOOK),
    ("sql-projection", _LOOK),
    ("group", _LOOK),
    ("projection", _LOOK),
    ("kv", _LOOK),
    ("config", _LOOK),
    ("server", _ABOUT),
    ("version", _ABOUT),
)

app = App(
    "ironflow",
    help="Durable workflows, recorded for ever.",
    help_format="markdown",
    version=VERSION,
    suppress_keyboard_interrupt=False,
    help_epilogue="Every option and the exit codes: docs/reference/cli.md",
    default_parameter=Parameter(negative=(), show_default=default_text),
)
for _name, _group in COMMANDS:
    app.command(f"ironflow.cli.{_name.replace('-', '_')}:app", name=_name, group=_group)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    url: Annotated[str | None, Parameter(env_var="IRONFLOW_SERVER_URL", group=_GLOBAL, negative="")] = None,
    api_key: Annotated[str | None, Parameter(env_var="IRONFLOW_API_KEY", group=_GLOBAL, negative="")] = None,
    env: Annotated[str | None, Parameter(env_var="IRONFLOW_ENV", group=_GLOBAL, negative="")] = None,
    json: Annotated[bool, Parameter(group=_GLOBAL, negative="")] = False,
) -> int:
    """Runs one command with the global options.

    Args:
        url: Address of the server. Default: http://localhost:9123
        api_key: Key to show to the server.
        env: Environment to work in. Default: the key's own, else `default`.
        json: Answer with JSON, as the REST API gives it.
    """
    cli = Cli(url=url, api_key=api_key, environment=env, json=json)
    command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    try:
        ended: Any = command(*bound.args, **bound.kwargs, **dict.fromkeys(ignored, cli))
    finally:
        cli.close()
    return ended if isinstance(ended, int) else Exit.OK


def load_all() -> None:
    """Imports every command, so that the list of commands can say what each one does."""
    for name, _ in COMMANDS:
        app[name]


def run_command(words: list[str]) -> int:
    """Runs the command that `words` spell; answers its exit code."""
    if not words or words[0].startswith("-"):
        load_all()
    return guarded(lambda: app.meta(words, exit_on_error=False, print_error=False, result_action="return_value"), words)


def guarded(run: Callable[[], int | None], words: list[str]) -> int:
    """What `run` answers, or the exit code of the error it raises, said in one line on standard error."""
    try:
        return run() or Exit.OK
    except CycloptsError as fault:
        return _refuse(UsageError(_plain(fault)), words)
    except IronflowError as fault:
        return _refuse(fault, words)
    except KeyboardInterrupt:
        return _refuse(Interrupted(), words)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; nothing more may be flushed to it when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


def _refuse(fault: IronflowError, words: list[str]) -> int:
    code = exit_of(fault)
    if "--json" in words:
        said = {"error": fault.message, "code": fault.code, "exit": int(code)}
        sys.stderr.buffer.write(msgspec.json.encode(said) + b"\n")
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
