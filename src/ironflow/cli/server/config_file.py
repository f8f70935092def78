"""`ironflow config init`: writes a file of settings for `serve -f`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ironflow.base.errors import AlreadyExists
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected

_SERVER = """\
# Settings of `ironflow serve -f {file}`; docs/reference/settings.md describes them all.
apiVersion: ironflow/v1
kind: {kind}
spec:
  port: 9123
  host: 127.0.0.1
  storage:
    {storage}
"""
_LOG = """\
  log: {{level: {level}, format: {format}}}
"""
_PROD = """\
  auth:
    enabled: true
  retention: {runDays: 30, deadLetterDays: 30}
  engine:
    retry: {maxAttempts: 3, onExhausted: fail}
"""
_NODE = """\
  cluster:
    nodeId: ${IRONFLOW_NODE_ID:-node-1}
"""


def init(
    *,
    kind: str = "server",
    prod: Annotated[bool, Parameter(negative="")] = False,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("ironflow.yaml"),
    cli: Injected,
) -> None:
    """Write a file of settings for `serve -f`. An existing file is not overwritten.

    Args:
        kind: server for one node with a SQLite file, cluster for several nodes on one PostgreSQL.
        prod: With authentication, retention and logs in JSON.
        output: The file.
    """
    if kind == "platform":
        raise UsageError("kind platform does not exist here: use server, with an environment for each tenant.")
    if kind not in ("server", "cluster"):
        raise UsageError(f"{kind!r} is not a kind of file. Use server or cluster.")
    text = _text(output, kind, prod)
    try:
        with output.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise AlreadyExists(f"{output} exists; nothing was written. Choose another --output.") from None
    except OSError as fault:
        raise UsageError(f"cannot write {output}: {(fault.strerror or str(fault)).lower()}.") from None
    cli.show({"file": str(output), "kind": kind}, lambda: f"wrote {output}. Start: ironflow serve -f {output}")


def _text(output: Path, kind: str, prod: bool) -> str:
    cluster = kind == "cluster"
    storage = "url: ${DATABASE_URL:-postgresql://localhost/ironflow}" if cluster else "path: ironflow.db"
    log = _LOG.format(level="info", format="json" if prod else "text")
    head = _SERVER.format(file=output.name, kind=kind.capitalize(), storage=storage)
    return head + log + (_PROD if prod else "") + (_NODE if cluster else "")
