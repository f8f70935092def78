"""Payloads of ended runs, read and replaced where they are kept: the run's row, its steps and its facts.

Without a decision, unlike every other write to runs: the run does not change, its record is reduced.
"""

from collections.abc import Callable

import msgspec

from ironflow.base.ids import first_id_at
from ironflow.base.time import Millis
from ironflow.engine.facts import Fact
from ironflow.engine.model import Run, Step
from ironflow.features.runs import store
from ironflow.storage.port import Tx

SET_RUN = """UPDATE runs SET output = :output, error = :error, slot_key = :slot_key, limit_key = :limit_key,
 actor_id = :actor_id, key = :key,
 entity = :entity WHERE id = :id"""
FACTS_OF = "SELECT version, body FROM facts WHERE run_id = :run_id ORDER BY version"
SET_FACT = "UPDATE facts SET body = :body WHERE run_id = :run_id AND version = :version"
# A page of step keys; the next page begins after the last of them.
STEP_KEYS = """SELECT run_id, step_id FROM steps WHERE (run_id, step_id) > (:run_id, :step_id) AND run_id < :newest
ORDER BY run_id, step_id LIMIT :limit"""
WAITED_FOR = """SELECT run_id, step_id, output FROM steps WHERE (run_id, step_id) > (:run_id, :step_id)
 AND (run_id, step_id) <= (:last_run_id, :last_step_id) AND type = 'wait_for_event' AND output LIKE :like
ORDER BY run_id, step_id"""

_decode_fact = msgspec.json.Decoder(Fact).decode
_encode = msgspec.json.Encoder().encode

# (run id, SDK step id)
StepKey = tuple[str, str]


class _Identified(msgspec.Struct):
    id: str = ""


_decode_id = msgspec.json.Decoder(_Identified).decode


def whole_steps(tx: Tx, run_id: str) -> list[Step]:
    """All steps of a run that was loaded to be changed."""
    return store.steps_after(tx, run_id, 0, 2**31)


def replace_payloads(tx: Tx, run: Run) -> None:
    """Writes the payloads of the run's row, and the keys that were taken from its event."""
    params = {"id": run.id, "output": run.output, "error": run.error, "entity": run.entity, "key": run.key}
    tx.run(SET_RUN, {**params, "slot_key": run.slot_key, "limit_key": run.limit_key, "actor_id": run.actor_id})


def replace_steps(tx: Tx, run_id: str, steps: list[Step]) -> None:
    store.save_steps(tx, [(run_id, step) for step in steps])


def change_facts(tx: Tx, run_id: str, change: Callable[[Fact], Fact]) -> None:
    """Rewrites the stored facts of a run, each under its version."""
    changed: list[dict[str, object]] = []
    for version, body in tx.rows(FACTS_OF, {"run_id": run_id}):
        text = _encode(change(_decode_fact(body))).decode()
        if text != body:
            changed.append({"run_id": run_id, "version": version, "body": text})
    tx.many(SET_FACT, changed)


def waits_ended_by(
    tx: Tx, event_id: str, emitted_at: Millis, after: StepKey, limit: int
) -> tuple[list[StepKey], StepKey | None]:
    """Steps after `after` whose wait the event ended, among the next `limit` steps, and where to go on.

    None at the end.
    A run that was created after the event did not wait for it.
    """
    # Two hours, in case servers' clocks differ.
    bounds = {"run_id": after[0], "step_id": after[1], "newest": first_id_at("run", emitted_at + 7_200_000)}
    keys = tx.rows(STEP_KEYS, {**bounds, "limit": limit})
    if not keys:
        return [], None
    last = (keys[-1][0], keys[-1][1])
    # LIKE may match too much, as an id can contain its wildcards; the decoded id decides.
    bounds = {"last_run_id": last[0], "last_step_id": last[1], "like": f'%"id":"{event_id}"%'}
    found = tx.rows(WAITED_FOR, {"run_id": after[0], "step_id": after[1], **bounds})
    return [(row[0], row[1]) for row in found if _id_of(row[2]) == event_id], last if len(keys) == limit else None


def _id_of(output: str) -> str:
    return _decode_id(output).id
