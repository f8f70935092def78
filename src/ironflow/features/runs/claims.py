"""The keys of the runs that one transaction creates: each is claimed before its run is written."""

from typing import NamedTuple

from ironflow.base.errors import Aborted
from ironflow.base.run_keys import IfRunning
from ironflow.features.keys import in_tx as keys
from ironflow.features.keys.in_tx import Claim, RunKey
from ironflow.features.runs import store
from ironflow.features.runs.creation import Creation
from ironflow.storage.port import Tx

# A key whose holder ends at the same moment is looked at again; each time another transaction got on.
TRIES = 20


class Claimed(NamedTuple):
    """run_id: of the run that has the key now."""

    claim: Claim
    run_id: str

    @property
    def starts(self) -> bool:
        """Whether the run is created."""
        return self.claim in ("started", "replaces")


class Claims:
    """replaced: runs to cancel, with the runs that replace them. superseded: the same, of runs of this transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._new: set[str] = set()
        self.replaced: dict[str, str] = {}
        self.superseded: dict[str, str] = {}

    def claim(self, created: Creation, if_running: IfRunning) -> Claimed:
        """Claims the key of a run that is to be created, if it has one.

        Raises Aborted when the holder changes without end.
        """
        command = created.command
        if command.key is None:
            return Claimed("started", command.run_id)
        key = RunKey(command.environment, command.function_id, command.key)
        for _ in range(TRIES):
            found = self._once(key, command.run_id, if_running)
            if found is not None:
                return found
        raise Aborted(f"The key {command.key!r} changed its run {TRIES} times meanwhile. Start the run again.")

    def _once(self, key: RunKey, run_id: str, if_running: IfRunning) -> Claimed | None:
        """None: the key has changed its run."""
        if keys.take(self._tx, key, run_id):
            self._new.add(run_id)
            return Claimed("started", run_id)
        holder = keys.holder(self._tx, key)
        if holder is None:
            return None
        claim = keys.decide_claim(holder, if_running)
        if claim != "replaces":
            return Claimed(claim, holder)
        if holder not in self._new:
            # Its run is locked before the row of its key, as its end does, so that no two transactions deadlock.
            store.load(self._tx, [holder])
        if not keys.move(self._tx, key, holder, run_id):
            return None
        replaced = self.superseded if holder in self._new else self.replaced
        replaced[holder] = run_id
        self._new.add(run_id)
        return Claimed("replaces", run_id)
