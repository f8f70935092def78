"""The external services of the workflow: a warehouse, a card processor and a mail server, which fail like real ones.

Every call is written to a file outside Ironflow, so that the executions of each step can be counted; `make demo`
does. The failures depend only on the order: a shelf under recount, a slow card issuer and a greylisting mail server
refuse the first call of a run and accept the second; one card processor is always down.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RECOUNTED_SKU = "CHAIR-OAK-02"
SLOW_CARD = "tok_issuer_slow"
DEAD_CARD = "tok_processor_down"
GREYLISTING_DOMAIN = "@greylisted.example"


class Refused(Exception):
    """A temporary failure of a service."""


async def reserve_stock(skus: dict[str, int], *, key: str) -> str:
    """Reserves the quantity of each SKU; returns the number of the reservation."""
    with called("reserve-stock", key) as first:
        await asyncio.sleep(0.03)
        if RECOUNTED_SKU in skus and first:
            raise Refused(f"warehouse: the shelf of {RECOUNTED_SKU} is being recounted")
    return f"res_{key[-8:].lower()}"


async def charge_card(card: str, amount: int, currency: str, *, key: str) -> str:
    """Charges `amount` smallest units of `currency`; returns the id of the charge."""
    with called("charge-card", key) as first:
        await asyncio.sleep(0.09)
        if card == DEAD_CARD:
            raise Refused(f"card processor: no answer to a charge of {amount} {currency}")
        if card == SLOW_CARD and first:
            raise Refused("card processor: the card's issuer took too long")
    return f"ch_{key[-8:].lower()}"


async def send_confirmation(address: str, order_id: str, *, key: str) -> str:
    """Mails the customer; returns the id of the message."""
    with called("send-confirmation", key) as first:
        await asyncio.sleep(0.04)
        if address.endswith(GREYLISTING_DOMAIN) and first:
            raise Refused("mail server: 450 greylisted, try again")
    return f"<{order_id}.{key[-8:].lower()}@shop.example>"


@contextmanager
def called(step: str, key: str) -> Iterator[bool]:
    """Records the start and the result of a call of `step` for `key`; yields whether it is the first call.

    What was written before a crash is still there after it.
    """
    folder = records()
    try:
        (folder / f"{key}.{step}").touch(exist_ok=False)
        first = True
    except FileExistsError:
        first = False
    _write(folder, step, key, "started")
    try:
        yield first
    except Refused:
        _write(folder, step, key, "refused")
        raise
    _write(folder, step, key, "finished")


def records() -> Path:
    """The folder of the journal: QUICKSTART_RECORDS, else a folder in the temporary folder."""
    folder = Path(os.environ.get("QUICKSTART_RECORDS") or Path(tempfile.gettempdir(), "ironflow-quickstart"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(folder: Path, step: str, key: str, what: str) -> None:
    line = {"at": time.time_ns() // 1_000_000, "run": key, "step": step, "what": what, "worker": os.getpid()}
    # One write per line to a file opened for appending: lines of several workers never mix.
    file = os.open(folder / "calls.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)
