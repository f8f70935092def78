"""The world outside the workflow: a warehouse, a card processor and a mail server, as moody as real ones.

Every call is written to a file outside Ironflow, so that anybody can count how often each step truly ran; `make demo`
does. The moods depend on the order alone: a shelf under recount, a slow card issuer and a greylisting mail server
refuse the first call for a run and accept the second; one card processor is down and stays down.
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
    """A service could not do its work this time."""


async def reserve_stock(skus: dict[str, int], *, key: str) -> str:
    """Reserves so many pieces of each SKU; answers the reservation's number."""
    with called("reserve-stock", key) as first:
        await asyncio.sleep(0.03)
        if RECOUNTED_SKU in skus and first:
            raise Refused(f"warehouse: the shelf of {RECOUNTED_SKU} is being recounted")
    return f"res_{key[-8:].lower()}"


async def charge_card(card: str, amount: int, currency: str, *, key: str) -> str:
    """Charges `amount` smallest units of `currency`; answers the charge's id."""
    with called("charge-card", key) as first:
        await asyncio.sleep(0.09)
        if card == DEAD_CARD:
            raise Refused(f"card processor: no answer to a charge of {amount} {currency}")
        if card == SLOW_CARD and first:
            raise Refused("card processor: the card's issuer took too long")
    return f"ch_{key[-8:].lower()}"


async def send_confirmation(address: str, order_id: str, *, key: str) -> str:
    """Writes to the customer; answers the message's id."""
    with called("send-confirmation", key) as first:
        await asyncio.sleep(0.04)
        if address.endswith(GREYLISTING_DOMAIN) and first:
            raise Refused("mail server: 450 greylisted, try again")
    return f"<{order_id}.{key[-8:].lower()}@shop.example>"


@contextmanager
def called(step: str, key: str) -> Iterator[bool]:
    """Writes down that a call of `step` for `key` started, and how it ended; gives whether it is the first one.

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
    """Where the calls are written: the folder named by QUICKSTART_RECORDS, else one among the temporary files."""
    folder = Path(os.environ.get("QUICKSTART_RECORDS") or Path(tempfile.gettempdir(), "ironflow-quickstart"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(folder: Path, step: str, key: str, what: str) -> None:
    line = {"at": time.time_ns() // 1_000_000, "run": key, "step": step, "what": what, "worker": os.getpid()}
    # One write of one line to a file opened for appending: lines of several workers never mix.
    file = os.open(folder / "calls.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)
