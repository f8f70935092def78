"""Removing ended runs: by retention, one by one, or by a bulk job."""

from collections.abc import Callable

from ironflow.base.time import Millis
from ironflow.features.code_versions import in_tx as code_versions
from ironflow.features.log_lines import in_tx as log_lines
from ironflow.features.runs import chains, notices, store, values
from ironflow.features.waits import in_tx as waits
from ironflow.storage.port import Tx

# Deletes what a feature keeps of chains of runs, given the ids of their first links.
DropOf = Callable[[Tx, list[str]], None]


class RunDeletion:
    """Removes ended runs with all that is kept of them. others: of features that know this one.

    What others keep is of a chain; it goes with the last link that is kept.
    """

    def __init__(self) -> None:
        self.others: list[DropOf] = []

    def delete_ended(self, tx: Tx, runs: list[tuple[str, str]], now: Millis) -> None:
        """runs: ids and environments. Events that they recorded, and their audit notes, stay."""
        ids = [run_id for run_id, _ in runs]
        chain_ids = chains.chains_of(tx, ids)
        store.delete(tx, ids)
        values.drop_all(tx, ids)
        waits.drop_all(tx, ids)
        log_lines.drop(tx, ids)
        code_versions.drop(tx, ids)
        ended = chains.without_links(tx, chain_ids)
        for drop in self.others:
            drop(tx, ended)
        for run_id, environment in runs:
            tx.publish_local(notices.deleted(environment, run_id, now))
