"""What is remembered of the lines of runs."""

from collections.abc import Mapping, Sequence

from ironflow.features.log_lines.rules import LineRow, Place
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(LineRow._fields)
# A report that was sent again has the same places.
ADD = f"""INSERT INTO log_lines ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in LineRow._fields)})
ON CONFLICT (run_id, execution_seq, number) DO NOTHING"""
COUNTS = "SELECT run_id, count(*) FROM log_lines WHERE run_id IN {each:run_ids} GROUP BY run_id"
AFTER = f"""SELECT {_COLUMNS} FROM log_lines
WHERE run_id = :run_id AND (execution_seq, number) > (:execution_seq, :number) AND level >= :level
 AND (:step = '' OR step_id = :step OR step_name = :step)
ORDER BY run_id, execution_seq, number LIMIT :limit"""
DROP = "DELETE FROM log_lines WHERE run_id IN {each:run_ids}"
DROP_STEP = "DELETE FROM log_lines WHERE run_id = :run_id AND step_id = :step_id"


def add(tx: Tx, lines: Sequence[LineRow]) -> None:
    tx.many(ADD, [line._asdict() for line in lines])


def counts(tx: Tx, run_ids: Sequence[str]) -> Mapping[str, int]:
    """How many lines runs have; those without any are left out."""
    return {row[0]: row[1] for row in tx.rows(COUNTS, {"run_ids": list(run_ids)})}


def after(tx: Tx, run_id: str, place: Place, level: int, step: str, limit: int) -> list[LineRow]:
    """Lines behind a place, in order. step: its id or name, empty for all."""
    asked = {"run_id": run_id, "level": level, "step": step, "limit": limit}
    return [LineRow(*row) for row in tx.rows(AFTER, {**asked, **place._asdict()})]


def drop(tx: Tx, run_ids: Sequence[str]) -> None:
    tx.run(DROP, {"run_ids": list(run_ids)})


def drop_step(tx: Tx, run_id: str, step_id: str) -> None:
    tx.run(DROP_STEP, {"run_id": run_id, "step_id": step_id})
