"""`ironflow secret`: values that only functions read."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, table
from ironflow.cli.terminal.payload import read_bytes
from ironflow.cli.terminal.times import since_text, time_text
from ironflow.features.secrets import contract as secrets

app = App("secret", help="Store values that only functions read.")

Name = Annotated[str, Parameter(help="The secret's name, such as STRIPE_KEY.")]
Value = Annotated[str, Parameter(allow_leading_hyphen=True)]
Description = Annotated[str | None, Parameter(name=["--description", "-d"], help="What the secret is for.")]


@app.command(name="set")
def set_(name: Name, value: Value, /, *, description: Description = None, cli: Injected) -> None:
    """Store a secret, or replace its value.

    Args:
        value: The value; @FILE takes the content of a file, - standard input, without the line's end.
    """
    request = secrets.SetSecret(name=name, value=_value(value, cli), description=description)
    answer = cli.call(secrets.set_, request)
    cli.show(answer, lambda: f"set {answer.name} (revision {answer.revision})")


@app.command
def get(name: Name, /, *, cli: Injected) -> None:
    """Show a secret without its value, which only functions read."""
    answer = cli.call(secrets.get, secrets.NamedSecret(name=name))
    cli.show(
        answer,
        lambda: facts(
            [
                ("secret", answer.name),
                ("revision", str(answer.revision)),
                ("description", answer.description),
                ("created", time_text(answer.created_at)),
                ("updated", time_text(answer.updated_at)),
            ]
        ),
    )


@app.command(name="list")
def list_(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the secrets of the environment, without values."""
    answer = cli.call(secrets.list_, secrets.ListSecrets(limit=limit, cursor=cursor, paged=True))
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["NAME", "REVISION", "UPDATED", "DESCRIPTION"],
            (
                [each.name, str(each.revision), since_text(each.updated_at, now), each.description or ""]
                for each in answer.secrets
            ),
            right=["REVISION"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def delete(
    name: Name, /, *, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False, cli: Injected
) -> None:
    """Delete a secret. Functions that need it fail from their next execution on.

    Args:
        yes: Do not ask for confirmation.
    """
    if not yes and not cli.confirm(f"Delete the secret {name}?"):
        raise UsageError(f"the secret {name} is unchanged. Add --yes to delete it.")
    cli.send(secrets.delete, secrets.NamedSecret(name=name))
    cli.show({"deleted": name}, lambda: f"deleted {name}")


@app.command
def rekey(*, cli: Injected) -> None:
    """Encrypt all secrets anew, under the first of the server's master keys."""
    with cli.waiting("encrypting"):
        answer = cli.call(secrets.rekey, secrets.Rekey(), timeout=600)
    cli.show(
        answer,
        lambda: (
            f"encrypted {answer.secrets} secrets of {answer.environments} environments under master key "
            f"{answer.master_key}; keys from before it are not needed any more"
        ),
    )


def _value(given: str, cli: Cli) -> str:
    """The value that was given, without the end of line that editors and `echo` add to a file."""
    content = read_bytes(given, cli.stdin)
    if given == "-" or (given.startswith("@") and not given.startswith("@@")):
        content = content.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError("the value is not UTF-8 text. Encode bytes as base64.") from None
