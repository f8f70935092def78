"""`ironflow init`: writes a small example project."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from ironflow.base.errors import AlreadyExists
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected

app = App("init")

_APP = '''\
"""A durable function of three steps. Run it with `ironflow dev app.py`."""

import msgspec

from ironflow import Context, function


class Order(msgspec.Struct):
    """The data of the event, in cents. Data of another shape fails the run with a clear error."""

    amount: int
    currency: str = "EUR"


def add_tax(amount: int) -> int:
    return amount * 119 // 100


def write_receipt(total: int, currency: str) -> str:
    receipt = f"{total / 100:.2f} {currency}"
    print("receipt:", receipt)
    return receipt


@function("process-order", on="order.placed")
async def process_order(ctx: Context, order: Order):
    """Processes an order. Kill the worker during the sleep: completed steps do not run again."""
    total = await ctx.step.run("add tax", add_tax, order.amount)
    await ctx.step.sleep("cool off", "2s")
    return await ctx.step.run("write receipt", write_receipt, total, order.currency)


functions = [process_order]
'''

_README = """\
# {name}

One durable function, `process-order`, in `app.py`.

In one terminal, start a server, and a worker that restarts on every save:

    ironflow dev app.py

In another terminal, emit an event and wait for the run it starts:

    ironflow emit order.placed --data '{{"amount": 1250}}' --wait

Look at the run, step by step:

    ironflow run list
    ironflow run get RUN

In production the two are separate processes:

    ironflow serve
    ironflow worker app:functions
"""

_IGNORED = """\
__pycache__/
*.db
*.db-*
"""


@app.default
def init(
    folder: Path | None = None,
    /,
    *,
    template: str = "python",
    skip_install: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Write a small project with one function of three steps.

    Existing files are not overwritten.

    Args:
        folder: The folder to write to; it is created if missing.
        template: Only python.
        skip_install: Accepted; nothing is ever installed.
    """
    if folder is None:
        raise UsageError("give the folder to write to, such as `ironflow init shop`; `ironflow init .` takes this one.")
    if template != "python":
        raise UsageError(f"there is no template {template!r}: this program writes Python projects, --template python.")
    name = folder.resolve().name
    contents = {"app.py": _APP, "README.md": _README.format(name=name), ".gitignore": _IGNORED}
    existing = [each for each in contents if (folder / each).exists()]
    if existing:
        raise AlreadyExists(
            f"{folder} already contains {' and '.join(existing)}; nothing was written. Choose another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each, content in contents.items():
            (folder / each).write_text(content)
    except OSError as fault:
        raise UsageError(f"cannot write to {folder}: {(fault.strerror or str(fault)).lower()}.") from None
    cli.show(
        {"folder": str(folder), "files": sorted(contents)},
        lambda: Text(f"wrote {', '.join(sorted(contents))} to {folder}\n\nNext:\n  cd {folder}\n  ironflow dev app.py"),
    )
