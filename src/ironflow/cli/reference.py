"""Writes docs/reference/cli.md from the command tree: `python -m ironflow.cli.reference [--check]`."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App
from cyclopts.argument import Argument

from ironflow.cli.app import COMMANDS, app, default_text, load_all
from ironflow.cli.exits import MEANINGS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"

_INTRODUCTION = """\
<!-- Made from the command tree by `python -m ironflow.cli.reference`: change a command's docstring and run it. -->

# The command line

Answers go to standard output, logs and remarks to standard error. Commands print tables; with `--json` they print what
the REST API answers, on one line when the output is no terminal, and an error is a JSON object with `error`, `code` and
`exit` on standard error. The global options may stand anywhere in a command.

| global option | environment variable | meaning |
| --- | --- | --- |
| `--url` | `IRONFLOW_SERVER_URL` | Address of the server. Default: `http://localhost:9123` |
| `--api-key` | `IRONFLOW_API_KEY` | Key to show to the server. |
| `--env` | `IRONFLOW_ENV` | Environment to work in. Default: the key's own, else `default`. |
| `--json` | | Answer with JSON. |

`NO_COLOR` set to anything turns colours off.

## Exit codes

| code | meaning |
| --- | --- |
"""


def page() -> str:
    """The whole page."""
    load_all()
    codes = "".join(f"| {int(code)} | {meaning} |\n" for code, meaning in MEANINGS.items())
    return _INTRODUCTION + codes + "".join(_section(name, app[name]) for name, _ in COMMANDS)


def _section(name: str, command: App, depth: int = 2) -> str:
    within = [each for each in command if not each.startswith("-")]
    head = f"\n{'#' * depth} ironflow {name}\n\n"
    if not within:
        return head + _body(name, command)
    return f"{head}{command.help}\n" + "".join(_section(f"{name} {each}", command[each], depth + 1) for each in within)


def _body(name: str, command: App) -> str:
    shown = [each for each in command.assemble_argument_collection(parse_docstring=True) if each.show]
    options = [each for each in shown if each.name.startswith("-")]
    places = [each.name for each in shown if each not in options]
    usage = " ".join(["ironflow", name, *places, *(["[OPTIONS]"] if options else [])])
    rows = "".join(_rows([each for each in shown if each.parameter.help]))
    table = f"\n| | | default |\n| --- | --- | --- |\n{rows}" if rows else ""
    return f"    {usage}\n\n{_told(command)}\n{table}"


def _rows(arguments: list[Argument]) -> Iterator[str]:
    for each in arguments:
        names = ", ".join(f"`{name}`" for name in each.names if not name.startswith(("--no-", "--empty-")))
        choices = each.get_choices()
        said = f"{each.parameter.help} One of {', '.join(choices)}." if choices else each.parameter.help
        default = None if each.required else default_text(each.field_info.default)
        yield f"| {names} | {said} | {f'`{default}`' if default else ''} |\n"


def _told(command: App) -> str:
    """What the docstring says before it comes to the arguments."""
    told = inspect.getdoc(command.default_command) or ""
    return told.partition("\nArgs:")[0].strip()


def main() -> None:
    """Writes the page, or with `--check` ends with 1 when the page on disk is not what it should be."""
    fresh = page()
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(fresh)
    elif not PAGE.exists() or PAGE.read_text() != fresh:
        sys.exit("docs/reference/cli.md is not what the commands say. Run: python -m ironflow.cli.reference")


if __name__ == "__main__":
    main()
