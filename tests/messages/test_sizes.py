"""What a send and a receive read does not depend on what was sent, received or is unread."""

import os
from pathlib import Path
from typing import Any

import pytest

from ironflow import Client, Context, NonRetryableError, Retry, function
from ironflow.features.messages import contract, store
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from tests.messages.test_messages import a_chat, send, take
from tests.support.rows_read import FEW, reads_of
from tests.support.server import open_server
from tests.support.work import Work
from tests.wire.server_process import a_server

# How many messages the inbox has of each kind, from which number on.
COUNT, FIRST = int(os.environ.get("IRONFLOW_MESSAGES", "20000")), 10
# How many are sent to one key one after the other, and how many a run takes before it restarts.
SENT, LINK = int(os.environ.get("IRONFLOW_MESSAGES", "600")), 150

FILL = f"""INSERT INTO messages ({", ".join(store.Row._fields)})
VALUES (:id, 'default', :inbox, :number, :name, '1', 0, 'chat:ada', NULL, '', 1, :taken_by, :taken_at, '', NULL, NULL,
 :inbox)"""


async def filled(server: Work, inbox: str, count: int) -> None:
    """The inbox has `count` messages that were taken, then as many unread ones of another name, and of `prompt`."""

    def fill(tx: Any) -> None:
        for place, (name, taken) in enumerate((("prompt", True), ("other", False), ("prompt", False))):
            numbers = range(FIRST + place * count, FIRST + (place + 1) * count)
            tx.many(
                FILL,
                [
                    {
                        "id": f"msg_{number:010}",
                        "inbox": inbox,
                        "number": number,
                        "name": name,
                        "taken_by": "s" if taken else None,
                        "taken_at": 1 if taken else None,
                    }
                    for number in numbers
                ],
            )

    await server.db.write(fill)
    if server.db.name == "postgres":
        await server.db.write(lambda tx: tx.run("ANALYZE messages"))


async def test_what_a_message_costs_is_the_same_in_a_large_inbox(database_url: str):
    async with open_server(Work, database_url, messages_unread_max=2 * COUNT + 100) as server:
        await a_chat(server)
        run_id = (await send(server, 0, start=True)).run_id
        job = await server.claim()
        assert await take(server, job, 0) == 0
        await filled(server, run_id, COUNT)

        with reads_of(server.db) as receiving:
            assert await take(server, job, 1) == 1
        # The limit of the inbox is looked at, too: more than so many were sent.
        with reads_of(server.db) as sending:
            assert (await send(server, 1)).run_id == run_id
        with reads_of(server.db) as listing:
            page = await server.call(contract.list_, run_id="chat:ada", unread=True, limit=5)

        assert [each.number for each in page.messages] == [FIRST + COUNT + number for number in range(5)]
        for reads in (receiving, sending, listing):
            assert reads.most < FEW, reads.each


@function("line", retry=Retry(max_attempts=1))
async def line(ctx: Context, taken: int | None) -> Any:
    """Takes numbers, which have to come in order; restarts after every LINK of them."""
    done = taken or 0
    for number in range(done, done + LINK):
        msg = await ctx.step.receive("number", timeout="10m")
        if msg.data == "end":
            return number
        if msg.data != number:
            raise NonRetryableError(f"{msg.data} came where {number} was expected")
    return ctx.restart(done + LINK)


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker])
async def test_messages_to_one_key_stay_in_order_over_restarts(tmp_path: Path, kind: type[Worker]):
    """Each once: one that came twice or was left out would be out of its order."""
    with a_server(tmp_path) as running:
        async with kind([line], url=running.address), Client(running.address) as client:
            for number in range(SENT):
                await client.send("line", "k", "number", number, start=True)
            await client.send("line", "k", "number", "end")

            run = await client.runs.wait("line", key="k", timeout="5m")

            assert (run.status, run.output) == ("completed", SENT)
            assert len([link async for link in client.runs.chain(run.id)]) == SENT // LINK + 1
