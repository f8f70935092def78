"""`ironflow init`: a small project to start from."""

from pathlib import Path

from cyclopts import App
from rich.text import Text

from ironflow.base.errors import AlreadyExists
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Here

app = App("init")

_APP = '''\
"""A durable function of three steps. Run it with `ironflow dev app.py`."""

import msgspec

from ironflow import function


class Order(msgspec.Struct):
    """What the event carries, in cents. Data of another shape fails the run with a clear error."""

    amount: int
    currency: str = "EUR"


def add_tax(amount: int) -> int:
    return amount * 119 // 100


def write_receipt(total: int, currency: str) -> str:
    receipt = f"{total / 100:.2f} {currency}"
    print("receipt:", receipt)
    return receipt


@function("process-order", on="order.placed")
async def process_order(ctx, order: Order):
    """Takes an order. Kill the worker while it sleeps: what is done is not done again."""
    total = await ctx.step.run("add tax", add_tax, order.amount)
    await ctx.step.sleep("let it cool off", "2s")
    return await ctx.step.run("write receipt", write_receipt, total, order.currency)


functions = [process_order]
'''

_README = """\
# {name}

One durable function, `process-order`, in `app.py`.

In one terminal, start a server and a worker that restarts on every save:

    ironflow dev app.py

In another, send an event and wait for the run it starts:

    ironflow emit order.placed --data '{{"amount": 1250}}' --wait

Look at what happened, step by step:

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
def init(folder: Path, /, *, cli: Here) -> None:
    """Write a small project to start from.

    It holds a function of three steps and tells how to run it. Existing files are left alone.

    Args:
        folder: Where to write; it is made if it is not there.
    """
    name = folder.resolve().name
    contents = {"app.py": _APP, "README.md": _README.format(name=name), ".gitignore": _IGNORED}
    there = [each for each in contents if (folder / each).exists()]
    if there:
        raise AlreadyExists(f"{folder} has {' and '.join(there)} already; nothing was written. Choose another folder.")
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
