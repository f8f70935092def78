"""What is remembered of runs: the run's row, its lease (the job row) and its steps.

A row is the fold of the run's facts; it is only ever written from a decision.
"""

from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import astuple, replace

from ironflow.base.ids import first_id_at
from ironflow.base.json import write_json_text
from ironflow.engine.facts import Fact, tag_of
from ironflow.engine.model import Lease, Policy, Run, Step
from ironflow.features.runs import rules
from ironflow.storage.port import Query, Row, Tx

_RUN_FIELDS = tuple(name for name in Run.__struct_fields__ if name not in ("lease", "steps", "values"))
_LEASE_FIELDS = Lease.__struct_fields__
_STEP_FIELDS = Step.__struct_fields__

# What never changes once a run exists; the rest is written on every save.
_FIXED = frozenset(
    {
        "id", "environment", "function_id", "function_version", "event_id", "event_name", "policy", "created_at",
        "actor_id", "parent_run_id", "parent_step_id", "slot_key", "limit_key", "holds_slot", "watched", "recorded",
        "key", "entity", "restarted_from", "first_run_id", "link",
    }
)  # fmt: skip
_CHANGING = tuple(name for name in _RUN_FIELDS if name not in _FIXED)
# Statements that write a run have its columns in this order: first those that are stored as they are.
_CONVERTED = ("pause_requested", "policy", "holds_slot", "watched")
_PLAIN = tuple(name for name in _RUN_FIELDS if name not in _CONVERTED)
_INSERTED = (*_PLAIN, *_CONVERTED)
_PLAIN_CHANGING = tuple(name for name in _CHANGING if name not in _CONVERTED)
_UPDATED = (*_PLAIN_CHANGING, "pause_requested", "id")
# What steps and renewed leases change. No index has one of these columns: SQLite writes every index that has a column
# of the statement, also when its value stays.
PROGRESS = ("updated_at", "version", "losses", "step_count", "next_sequence", "open_waits", "family", "id")
_progress_values = attrgetter(*PROGRESS)
_run_values, _updated_values = attrgetter(*_PLAIN), attrgetter(*_PLAIN_CHANGING)
_FIXED_OF_LEASE = ("run_id", "environment", "function_id", "slot_key", "limit_key", "actor_id")
_fixed_of_lease = attrgetter("id", *_FIXED_OF_LEASE[1:])

RUN_COLUMNS = ", ".join(f"r.{name}" for name in _RUN_FIELDS)
LEASE_COLUMNS = ", ".join(f"j.{name}" for name in _LEASE_FIELDS)
STEP_COLUMNS = ", ".join(_STEP_FIELDS)


def _values(names: Iterable[str]) -> str:
    return ", ".join(f":{name}" for name in names)


LOAD = f"""SELECT {RUN_COLUMNS}, {LEASE_COLUMNS} FROM runs r LEFT JOIN jobs j ON j.run_id = r.id
WHERE r.id IN {{each:ids}} ORDER BY r.id"""
_LOAD = f"""SELECT {RUN_COLUMNS}{{alone:, {LEASE_COLUMNS}}} FROM runs r {{alone:LEFT JOIN jobs j ON j.run_id = r.id}}
WHERE r.id IN {{each:ids}} ORDER BY r.id"""
LOAD_TO_CHANGE = f"{_LOAD} {{for_update}}"
LOAD_FREE = f"{_LOAD} {{skip_locked}}"
# What is read of a run that is known in memory.
VERSIONS = "SELECT r.id, r.version, r.updated_at FROM runs r WHERE r.id IN {each:ids} ORDER BY r.id {for_update}"
# On its own: PostgreSQL would join the row that it waited for with the lease as it was before the wait.
LEASES = f"SELECT j.run_id, {LEASE_COLUMNS} FROM jobs j WHERE j.run_id IN {{each:ids}}"
INSERT_RUN = f"INSERT INTO runs ({', '.join(_INSERTED)}) VALUES ({_values(_INSERTED)})"
UPDATE_RUN = f"UPDATE runs SET {', '.join(f'{name} = :{name}' for name in _UPDATED[:-1])} WHERE id = :id"
UPDATE_PROGRESS = f"UPDATE runs SET {', '.join(f'{name} = :{name}' for name in PROGRESS[:-1])} WHERE id = :id"

_JOB_FIELDS = (*_FIXED_OF_LEASE, *_LEASE_FIELDS)
SAVE_LEASE = f"""INSERT INTO jobs ({", ".join(_JOB_FIELDS)}) VALUES ({_values(_JOB_FIELDS)})
ON CONFLICT (run_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _LEASE_FIELDS)}"""
DROP_LEASE = "DELETE FROM jobs WHERE run_id = :run_id"
LEASED = "SELECT run_id FROM jobs WHERE environment = :environment LIMIT :limit"
RAISE_VERSIONS = "UPDATE runs SET version = version + 1 WHERE id IN {each:ids}"
DROP_LEASES = "DELETE FROM jobs WHERE run_id IN {each:ids}"

SOME_STEPS = f"SELECT run_id, {STEP_COLUMNS} FROM steps WHERE (run_id, step_id) IN {{pairs:keys}}"
# What a handler is replayed over: finished steps, those with an attempt to come, invoked functions that failed,
# failures that are kept, waits that timed out, and handles. `rules.is_replayed` is the same for a step in memory.
MEMO = f"""SELECT run_id, {STEP_COLUMNS} FROM steps WHERE run_id IN {{each:run_ids}}
 AND (status IN ('completed', 'retrying', 'pending', 'running') OR failure = 'kept'
  OR (failure = 'released' AND progress IS NOT NULL)
  OR (type = 'invoke_function' AND status = 'failed' AND failure = '')
  OR (status = 'timed_out' AND on_timeout = 'answer' AND failure = '')
  OR (type = 'start_function' AND failure <> 'released'))
ORDER BY run_id, sequence, number"""
OPEN_STEPS = f"""SELECT run_id, {STEP_COLUMNS} FROM steps
WHERE run_id = :run_id AND status IN ('sleeping', 'waiting', 'retrying') AND type <> 'start_function'"""
AWAITED = """SELECT COALESCE(original_output, output) FROM steps
WHERE run_id = :run_id AND type = 'wait_for_event' AND status = 'completed'"""
FIND_STEPS = f"""SELECT run_id, {STEP_COLUMNS} FROM steps
WHERE run_id = :run_id AND (step_id = :step_id OR name = :step_id OR number = :number) ORDER BY sequence, number"""
DROP_STEPS = "DELETE FROM steps WHERE run_id = :run_id AND sequence >= :from_sequence"
ADD_FACT = """INSERT INTO facts (run_id, version, at, kind, body) VALUES (:run_id, :version, :at, :kind, :body)"""
STEPS_AFTER = f"""SELECT {STEP_COLUMNS} FROM steps
WHERE run_id = :run_id ORDER BY sequence, number LIMIT :limit OFFSET :offset"""
STARTED_BY = f"SELECT {RUN_COLUMNS} FROM runs r WHERE r.event_id IN {{each:event_ids}} ORDER BY r.id"
FIRST_STEPS = f"""SELECT run_id, {STEP_COLUMNS} FROM steps
WHERE run_id IN {{each:run_ids}} AND number < :each_max ORDER BY run_id, sequence, number"""
INSERT_STEP = f"INSERT INTO steps (run_id, {STEP_COLUMNS}) VALUES (:run_id, {_values(_STEP_FIELDS)})"
SAVE_STEP = f"""{INSERT_STEP}
ON CONFLICT (run_id, step_id) DO UPDATE SET
{", ".join(f"{name} = excluded.{name}" for name in _STEP_FIELDS if name != "step_id")}"""

ENDED_BEFORE = """SELECT id, environment FROM runs WHERE id < :newest AND ended_at < :oldest
 AND status IN ('completed', 'failed', 'cancelled') ORDER BY id LIMIT :limit"""
DELETE_STEPS = "DELETE FROM steps WHERE run_id IN {each:ids}"
DELETE_FACTS = "DELETE FROM facts WHERE run_id IN {each:ids}"
DELETE_RUNS = "DELETE FROM runs WHERE id IN {each:ids}"

_encode_fact = msgspec.json.Encoder().encode
_encode_policy = msgspec.json.Encoder().encode
_decode_policy = msgspec.json.Decoder(Policy).decode


@lru_cache(maxsize=4096)
def policy_text(policy: Policy) -> str:
    return _encode_policy(policy).decode()


@lru_cache(maxsize=4096)
def policy_of(text: str) -> Policy:
    return _decode_policy(text)


_POLICY_AT = _RUN_FIELDS.index("policy")
_STEP_COUNT_AT = _RUN_FIELDS.index("step_count")
_RUN_WIDTH = len(_RUN_FIELDS)


def run_of(row: Row, lease: Lease | None = None, steps: dict[str, Step] | None = None) -> Run:
    """A run from RUN_COLUMNS; `lease` where LEASE_COLUMNS do not follow."""
    values: list[Any] = list(row[:_RUN_WIDTH])
    values[_POLICY_AT] = policy_of(row[_POLICY_AT])
    if len(row) > _RUN_WIDTH and row[_RUN_WIDTH] is not None:
        lease = Lease(*row[_RUN_WIDTH:])
    # The fields stand in the order of the columns; every load of every run comes by here.
    return Run(*values, lease=lease, steps=steps or {})


def load(
    tx: Tx, ids: list[str], step_ids: dict[str, set[str]] | None = None, *, skip_locked: bool = False
) -> dict[str, Run]:
    """Runs to change, by id, locked on PostgreSQL; missing ones are left out.

    step_ids: for each run the steps that the decision will look at. skip_locked: leave out, too, what another
    transaction has; for those that came here by a row of their own, a job or a timer, which the other may wait for.
    """
    load_runs = LOAD_FREE if skip_locked else LOAD_TO_CHANGE
    if not tx.alone:
        return _load_together(tx, (load_runs, {"ids": ids}), ids, step_ids or {})
    rows = tx.rows(load_runs, {"ids": ids})
    steps = _some_steps(tx, rows, step_ids) if step_ids else {}
    return {row[0]: run_of(row, steps=steps.get(row[0])) for row in rows}


def _load_together(tx: Tx, load_runs: Query, ids: list[str], step_ids: dict[str, set[str]]) -> dict[str, Run]:
    """As `load`, in one round trip: leases and steps are read after the runs are locked, but asked for with them."""
    keys = [(run_id, name) for run_id in ids for name in step_ids.get(run_id, ())]
    queries = [load_runs, (LEASES, {"ids": ids})]
    if keys:
        queries.append((SOME_STEPS, {"keys": write_json_text(keys)}))
    rows, leases, *steps = tx.batch(queries)
    lease_of = {row[0]: Lease(*row[1:]) for row in leases}
    steps_of = _steps_by_run(steps[0]) if steps else {}
    return {row[0]: run_of(row, lease_of.get(row[0]), steps_of.get(row[0])) for row in rows}


def lock_versions(tx: Tx, ids: list[str], keys: list[tuple[str, str]]) -> tuple[list[Row], dict[str, dict[str, Step]]]:
    """(id, version, updated_at) of runs to change, locked on PostgreSQL, and steps by (run id, step id)."""
    queries: list[Query] = [(VERSIONS, {"ids": ids})]
    if keys:
        queries.append((SOME_STEPS, {"keys": write_json_text(keys)}))
    versions, *steps = tx.batch(queries)
    return versions, _steps_by_run(steps[0]) if steps else {}


def look(tx: Tx, ids: list[str], step_ids: dict[str, set[str]] | None = None) -> dict[str, Run]:
    """Runs to read, by id. step_ids: for each run the steps to read with it."""
    rows = tx.rows(LOAD, {"ids": ids})
    steps = _some_steps(tx, rows, step_ids) if step_ids else {}
    return {row[0]: run_of(row, steps=steps.get(row[0])) for row in rows}


def _step(row: Row) -> Step:
    """A step from STEP_COLUMNS. `injected` is the last column: databases return a bool as an integer."""
    return Step(*row[:-1], injected=bool(row[-1]))


def _some_steps(tx: Tx, rows: list[Row], step_ids: dict[str, set[str]]) -> dict[str, dict[str, Step]]:
    # A run without any step has none to look at.
    keys = [(row[0], name) for row in rows if row[_STEP_COUNT_AT] for name in step_ids.get(row[0], ())]
    if not keys:
        return {}
    return _steps_by_run(tx.rows(SOME_STEPS, {"keys": write_json_text(keys)}))


def _steps_by_run(rows: list[Row]) -> dict[str, dict[str, Step]]:
    found: dict[str, dict[str, Step]] = {}
    for row in rows:
        found.setdefault(row[0], {})[row[1]] = _step(row[1:])
    return found


def memo(tx: Tx, run_ids: list[str]) -> dict[str, list[Step]]:
    """The finished steps of each run, by sequence."""
    found: dict[str, list[Step]] = {}
    for row in tx.rows(MEMO, {"run_ids": run_ids}):
        found.setdefault(row[0], []).append(_step(row[1:]))
    return found


def with_open_steps(tx: Tx, run: Run) -> Run:
    """The run with all its open steps, and the step that it waits in, beside those that it has."""
    found: dict[str, Step] = {}
    if run.open_waits:
        found = {row[1]: _step(row[1:]) for row in tx.rows(OPEN_STEPS, {"run_id": run.id})}
    if run.open_step is not None and run.open_step not in found:
        keys = write_json_text([(run.id, run.open_step)])
        found |= {row[1]: _step(row[1:]) for row in tx.rows(SOME_STEPS, {"keys": keys})}
    return replace(run, steps=found | run.steps) if found.keys() - run.steps.keys() else run


def awaited(tx: Tx, run_id: str) -> list[str]:
    """The events, as JSON texts, that waits of the run have ended with."""
    return [row[0] for row in tx.rows(AWAITED, {"run_id": run_id})]


def steps_after(tx: Tx, run_id: str, offset: int, limit: int) -> list[Step]:
    """All recorded steps by sequence, `limit` of them after the first `offset`."""
    rows = tx.rows(STEPS_AFTER, {"run_id": run_id, "offset": offset, "limit": limit})
    return [_step(row) for row in rows]


def started_by(tx: Tx, event_ids: list[str]) -> dict[str, list[Run]]:
    """The runs that each of these events started, oldest first; without their leases and steps."""
    found: dict[str, list[Run]] = {}
    for row in tx.rows(STARTED_BY, {"event_ids": event_ids}) if event_ids else ():
        run = run_of(row)
        found.setdefault(run.event_id, []).append(run)
    return found


def first_steps(tx: Tx, run_ids: list[str], each_max: int) -> dict[str, list[Step]]:
    """The steps of each run that were recorded first, at most `each_max` of each, by sequence."""
    found: dict[str, list[Step]] = {}
    for row in tx.rows(FIRST_STEPS, {"run_ids": run_ids, "each_max": each_max}) if run_ids else ():
        found.setdefault(row[0], []).append(_step(row[1:]))
    return found


def insert_runs(tx: Tx, runs: list[Run]) -> None:
    tx.many(
        INSERT_RUN,
        [
            (
                *_run_values(run),
                int(run.pause_requested),
                policy_text(run.policy),
                int(run.holds_slot),
                int(run.watched),
            )
            for run in runs
        ],
    )


def update_runs(tx: Tx, runs: list[Run]) -> None:
    tx.many(UPDATE_RUN, [(*_updated_values(run), int(run.pause_requested), run.id) for run in runs])


def update_progress(tx: Tx, runs: list[Run]) -> None:
    """Writes runs that have changed in columns of PROGRESS only."""
    tx.many(UPDATE_PROGRESS, [_progress_values(run) for run in runs])


def save_leases(tx: Tx, runs: list[Run]) -> None:
    """Writes the leases of runs that have one."""
    rows = [(*_fixed_of_lease(run), *astuple(run.lease)) for run in runs if run.lease is not None]
    tx.many(SAVE_LEASE, rows)


def drop_leases(tx: Tx, run_ids: list[str]) -> None:
    tx.many(DROP_LEASE, [(run_id,) for run_id in run_ids])


def delete_leases(tx: Tx, environment: str, limit: int) -> int:
    """Removes up to `limit` leases of a deleted environment, and returns how many. Reports of them are refused then:
    the versions of their runs rise, so that no process decides on a run that it has kept.
    """
    ids = [row[0] for row in tx.rows(LEASED, {"environment": environment, "limit": limit})]
    if ids:
        lock_versions(tx, ids, [])
        tx.run(RAISE_VERSIONS, {"ids": ids})
        tx.run(DROP_LEASES, {"ids": ids})
    return len(ids)


def insert_steps(tx: Tx, steps: list[tuple[str, Step]]) -> None:
    """Writes steps that are not recorded yet, given with their run ids."""
    tx.many(INSERT_STEP, [_step_row(run_id, step) for run_id, step in steps])


def save_steps(tx: Tx, steps: list[tuple[str, Step]]) -> None:
    """Writes steps, given with their run ids."""
    tx.many(SAVE_STEP, [_step_row(run_id, step) for run_id, step in steps])


def _step_row(run_id: str, step: Step) -> Row:
    """The values of the columns. The last one, `injected`, is stored as a number."""
    return (run_id, *astuple(step)[:-1], int(step.injected))


def find_steps(tx: Tx, run_id: str, named: str) -> list[Step]:
    """Steps that a person may mean by `named`: the SDK's step id, a name, or the row id."""
    number = rules.step_number(run_id, named)
    rows = tx.rows(FIND_STEPS, {"run_id": run_id, "step_id": named, "number": number})
    return [_step(row[1:]) for row in rows]


def drop_steps(tx: Tx, run_id: str, from_sequence: int) -> None:
    tx.run(DROP_STEPS, {"run_id": run_id, "from_sequence": from_sequence})


def add_facts(tx: Tx, facts: list[tuple[str, int, Fact]]) -> None:
    """Keeps facts, given with run id and the run's version after each."""
    rows = [(run_id, version, fact.at, tag_of(fact), _encode_fact(fact).decode()) for run_id, version, fact in facts]
    tx.many(ADD_FACT, rows)


def ended_before(tx: Tx, oldest: int, limit: int) -> list[tuple[str, str]]:
    """Up to `limit` runs that ended before `oldest`, oldest first; ids and environments.

    Ids sort by creation, and no run ends before it was created, so the search begins at the first run and stops at
    `oldest`.
    """
    found = tx.rows(ENDED_BEFORE, {"newest": first_id_at("run", oldest), "oldest": oldest, "limit": limit})
    return [(row[0], row[1]) for row in found]


def delete(tx: Tx, ids: list[str]) -> None:
    """Removes runs with their steps and facts."""
    if ids:
        tx.run(DELETE_STEPS, {"ids": ids})
        tx.run(DELETE_FACTS, {"ids": ids})
        tx.run(DELETE_RUNS, {"ids": ids})
