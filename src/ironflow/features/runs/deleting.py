"""Removing ended runs: by retention, one by one, or by a bulk job."""

from ironflow.base.time import Millis
from ironflow.features.code_versions import in_tx as code_versions
from ironflow.features.log_lines import in_tx as log_lines
from ironflow.features.runs import notices, store, values
from ironflow.features.waits import in_tx as waits
from ironflow.storage.port import Tx


def delete_ended(tx: Tx, runs: list[tuple[str, str]], now: Millis) -> None:
    """Removes ended runs with steps, facts, lines and what is left of their waits. runs: ids and environments."""
    ids = [run_id for run_id, _ in runs]
    store.delete(tx, ids)
    values.drop_all(tx, ids)
    waits.drop_all(tx, ids)
    log_lines.drop(tx, ids)
    code_versions.drop(tx, ids)
    for run_id, environment in runs:
        tx.publish_local(notices.deleted(environment, run_id, now))
