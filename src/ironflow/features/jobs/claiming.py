"""Ready jobs become assignments: the runs are leased in the transaction that found them."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ironflow.base.ids import Ids
from ironflow.base.time import Millis
from ironflow.base.trace_context import RunTracing
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.model import Run
from ironflow.features.code_versions import in_tx as code_versions
from ironflow.features.functions.in_tx import FunctionIndex, Startable
from ironflow.features.jobs import rules, store
from ironflow.features.jobs.assignments import assignments
from ironflow.features.jobs.contract import Assignment
from ironflow.features.jobs.rules import NO_CHANNEL, Channel, Timing
from ironflow.features.runs.in_tx import Change, RunRepository
from ironflow.features.secrets.in_tx import MasterKeyMissing, Vault
from ironflow.log.read import head
from ironflow.storage.port import Tx

logger = logging.getLogger(__name__)

NO_VERSIONS: Mapping[str, str] = {}


class Holder(NamedTuple):
    """What jobs are leased to. acked: leases begin at once, for `lease_ms`, and the memo has what ours can read.

    grace_ms: of workers that end late executions themselves. node: the incarnation that the executions end with.
    channel: of a worker of ours.
    """

    worker_id: str
    runtime: str
    acked: bool
    lease_ms: int
    ours: bool
    grace_ms: int = 0
    node: str = ""
    channel: Channel = NO_CHANNEL


class Claims:
    """Claims jobs."""

    def __init__(
        self,
        repository: RunRepository,
        index: FunctionIndex,
        ids: Ids,
        timing: Timing,
        vault: Vault,
        log_level: str | None,
        tracing: RunTracing | None = None,
    ) -> None:
        self._repository = repository
        self._index = index
        self._vault = vault
        self._ids = ids
        self._timing = timing
        self._log_level = log_level
        self._tracing = tracing

    def claim(
        self, tx: Tx, holder: Holder, run_ids: Sequence[str], now: Millis, pinned: Mapping[str, str] = NO_VERSIONS
    ) -> tuple[list[Assignment], bool]:
        """The assignments, and whether another transaction had some of the runs locked: look again soon.

        pinned: of functions whose runs stay with the version that they began with, the holder's version.
        """
        log_position = head(tx)
        claimed: list[Run] = []
        changes: list[Change] = []
        runs = self._repository.load(tx, list(run_ids), skip_locked=True)
        secrets = self._secrets_of(tx, {(run.environment, run.function_id) for run in runs.values()})
        for run in runs.values():
            if (run.compensating is not None or run.entity is not None) and not holder.ours:
                # An existing SDK would run the handler on, or without the state of its entity.
                continue
            if run.function_id not in secrets:
                continue
            command = commands.Claim(
                worker_id=holder.worker_id,
                job_id=rules.job_id(run.id, run.execution_seq + 1),
                token=rules.lease_token(holder.channel, self._ids.token()),
                acked=holder.acked,
                lease_ms=holder.lease_ms,
                reservation_ms=self._timing.reservation_ms,
                log_position=log_position,
                grace_ms=min(holder.grace_ms, rules.GRACE_MS_MAX),
                node=holder.node,
            )
            decision = decide(run, command, now)
            if decision.facts:
                claimed.append(decision.run)
                changes.append((run, decision))
        self._repository.save(tx, changes, now)
        if pinned:
            begun = [run for run in claimed if run.function_id in pinned]
            code_versions.pin(
                tx, [(run.id, run.environment, run.function_id, pinned[run.function_id]) for run in begun]
            )
        if any(run.actor_id is not None for run in claimed):
            store.save_actors(tx, claimed)
        if any(run.lease is not None and run.lease.expires_at < now + rules.RECLAIM_EVERY_MS for run in claimed):
            tx.notify("leases")
        given = assignments(tx, claimed, holder.runtime, holder.ours, secrets, self._log_level, self._tracing)
        return given, len(runs) < len(run_ids)

    def has_secrets(self, function: Startable) -> bool:
        """Whether the function can be given its secrets. Without a master key it would fail for want of them."""
        return not function.secrets or self._vault.missing is None

    def _secrets_of(self, tx: Tx, functions: set[tuple[str, str]]) -> dict[str, dict[str, str]]:
        """By function, the secrets that it is given; functions whose secrets cannot be decrypted are left out."""
        found: dict[str, dict[str, str]] = {}
        for environment, function_id in functions:
            function = self._index.get(environment, function_id)
            declared = function.secrets if function is not None else ()
            try:
                found[function_id] = self._vault.deliver(tx, environment, declared) if declared else {}
            except MasterKeyMissing as fault:
                logger.error("secrets cannot be decrypted", extra={"function_id": function_id, "error": fault.message})
        return found
