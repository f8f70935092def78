"""The promise behind time travel: a recorded run is the fold of its facts."""

import msgspec
from msgspec.structs import replace

from ironflow.engine.evolve import fold
from ironflow.engine.facts import Fact
from ironflow.features.runs import store
from ironflow.storage.port import Tx
from tests.support.server import Server

FACTS = "SELECT body FROM facts WHERE run_id = :id ORDER BY version"
RECORDED = "SELECT id FROM runs WHERE recorded = 'all'"
decode = msgspec.json.Decoder(Fact).decode


async def check_fold(server: Server) -> int:
    """Checks that every recorded run, with its lease and steps, is the fold of its facts; returns their number."""

    def look(tx: Tx) -> int:
        run_ids = [row[0] for row in tx.rows(RECORDED)]
        for run_id, row in store.look(tx, run_ids).items():
            steps = {each.step_id: each for each in store.steps_after(tx, run_id, 0, 100)}
            assert fold(None, (decode(body) for (body,) in tx.rows(FACTS, {"id": run_id}))) == replace(row, steps=steps)
        return len(run_ids)

    return await server.db.read(look)
