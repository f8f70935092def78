"""Which functions an event starts: kept in memory, brought up to date by comparing one number in the transaction.

Looking up costs the same however many functions do not match: exact names are a dict, patterns are found by the
literal text before their first wildcard.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ironflow.base.cel import Expression, expression
from ironflow.base.entity_streams import scope_of_entity
from ironflow.base.pattern import compiled, is_pattern, literal_prefix
from ironflow.base.run_keys import IfRunning, check_if_running
from ironflow.engine.model import Policy, Recording
from ironflow.features.code_versions.in_tx import OnCodeChange
from ironflow.features.functions import store
from ironflow.features.functions.contract import (
    CancelOnSpec,
    CircuitBreakerConfig,
    DebounceConfig,
    EntityConfig,
    ThrottleConfig,
)
from ironflow.features.functions.recording import recording_of
from ironflow.features.functions.rules import FunctionRow, is_push, policy_of
from ironflow.storage.port import Tx


@dataclass(frozen=True, slots=True)
class PushTarget:
    """Where a push function is executed. budget_ms: of one request; 0 for the server's default.

    checkpoints: the endpoint records each step by a call back. Of the circuit breaker, 0 is the server's default.
    """

    url: str
    budget_ms: int = 0
    checkpoints: bool = False
    failure_threshold: int = 0
    open_ms: int = 0
    max_open_ms: int = 0


# (environment, id, name or text)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Startable:
    """What the creation of a run needs to know of its function."""

    environment: str
    id: str
    version: int
    status: str
    policy: Policy
    has_triggers: bool = False
    # What a worker must have to be handed its jobs.
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    push: PushTarget | None = None
    actor_key: str = ""
    concurrency_limit: int = 0
    concurrency_key: str = ""
    concurrency_scope: str = ""
    holds_run: bool = False
    holds_slot: bool = True
    recorded: Recording = ""
    cancel_on: tuple[CancelOnSpec, ...] = ()
    throttle: ThrottleConfig | None = None
    # CEL that gives the key of a run, and what becomes of a start whose key a run has.
    run_key: str = ""
    if_running: IfRunning = ""
    priority: str = ""
    on_code_change: OnCodeChange = "warn"
    debounce: DebounceConfig | None = None
    # Names of the secrets that its executions are given.
    secrets: tuple[str, ...] = ()
    entity: EntityConfig | None = None

    @property
    def is_push(self) -> bool:
        """The server calls an endpoint; no worker is handed its jobs."""
        return self.push is not None


@dataclass(frozen=True, slots=True)
class _Rule:
    function: Startable
    pattern: str
    expression: Expression | None


def startable(row: FunctionRow, defaults: Policy, on_code_change: OnCodeChange) -> Startable:
    """What starting a run of the function takes. defaults: of the server, for what the function leaves open."""
    return Startable(
        environment=row.environment,
        id=row.id,
        version=row.version,
        status=row.status,
        policy=policy_of(row.config, defaults),
        has_triggers=bool(row.config.triggers),
        labels=row.config.labels,
        push=_push_target(row),
        actor_key=row.config.actor_key,
        concurrency_limit=row.config.concurrency.limit if row.config.concurrency else 0,
        concurrency_key=row.config.concurrency.key if row.config.concurrency else "",
        concurrency_scope=row.config.concurrency.scope if row.config.concurrency else "",
        holds_run=row.config.concurrency is not None and row.config.concurrency.hold == "run",
        holds_slot=row.config.pause_behavior != "release",
        recorded=recording_of(row.config.recording, row.config.recording_profile),
        cancel_on=tuple(spec for spec in row.config.cancel_on if spec.event and spec.match),
        throttle=row.config.throttle if row.config.throttle and row.config.throttle.limit else None,
        debounce=row.config.debounce if row.config.debounce and row.config.debounce.period_ms else None,
        secrets=tuple(dict.fromkeys(row.config.secrets)),
        run_key=row.config.run_key,
        if_running=check_if_running(row.config.if_running),
        priority=row.config.priority,
        on_code_change=on_code_change,
        entity=row.config.entity,
    )


class FunctionIndex:
    """Functions by id, and by the events that start them."""

    def __init__(self, defaults: Policy, on_code_change: OnCodeChange = "warn") -> None:
        self._defaults = defaults
        self._on_code_change: OnCodeChange = on_code_change
        self._epoch = 0
        self._doubtful = False
        self._functions: dict[Key, Startable] = {}
        # The limits of the functions that share one, by (environment, scope).
        self._scopes: dict[Key, dict[str, int]] = {}
        self._pushed: dict[Key, Startable] = {}
        self._rules: dict[Key, tuple[_Rule, ...]] = {}
        # By (environment, name), and by (environment, literal text of a pattern). Tuples are replaced, never changed:
        # on PostgreSQL one thread looks functions up while another takes over a change.
        self._exact: dict[Key, tuple[_Rule, ...]] = {}
        self._patterns: dict[Key, tuple[_Rule, ...]] = {}
        self._changing = threading.Lock()

    def refresh(self, tx: Tx) -> None:
        """Takes over what has changed since the last time; one look-up when nothing has."""
        epoch = store.epoch(tx)
        if epoch == self._epoch and not self._doubtful:
            return
        with self._changing:
            if self._doubtful or store.epoch(tx) < self._epoch:
                self._read_all(tx)
                return
            for row in store.changed_since(tx, self._epoch):
                self._replace(row)
            self._epoch = max(self._epoch, epoch)

    def doubt(self) -> None:
        """A change was not kept. Others of the same commit may have seen it: all is read again at the next refresh."""
        self._doubtful = True

    def _read_all(self, tx: Tx) -> None:
        """Reads all functions anew. Until it is done, readers see the functions known before."""
        self._doubtful = False
        fresh = FunctionIndex(self._defaults, self._on_code_change)
        epoch = store.epoch(tx)
        for row in store.changed_since(tx, 0):
            fresh._replace(row)
        self._functions, self._rules, self._pushed = fresh._functions, fresh._rules, fresh._pushed
        self._scopes = fresh._scopes
        self._exact, self._patterns = fresh._exact, fresh._patterns
        self._epoch = epoch

    def scope_limit(self, environment: str, scope: str) -> int:
        """The smallest limit of the functions that share it; 0 when no function does."""
        return min(self._scopes.get((environment, scope), {}).values(), default=0)

    def has_entity(self, environment: str, entity: str) -> bool:
        """Whether a function changes the states of this entity."""
        return self.scope_limit(environment, scope_of_entity(entity)) > 0

    def _change_of(self, row: FunctionRow) -> OnCodeChange:
        change = row.config.on_code_change or self._on_code_change
        # An endpoint has one version at a time.
        return "warn" if change == "pin" and is_push(row) else change

    def get(self, environment: str, function_id: str) -> Startable | None:
        return self._functions.get((environment, function_id))

    def patterns_of(self, environment: str, function_id: str) -> list[str]:
        """The event names and patterns that a function's triggers have, each once."""
        return list(dict.fromkeys(rule.pattern for rule in self._rules.get((environment, function_id), ())))

    def pushed(self) -> list[Startable]:
        """The functions that are executed at their endpoints."""
        return list(self._pushed.values())

    @property
    def has_pushed(self) -> bool:
        return bool(self._pushed)

    def pushed_to(self, environment: str, url: str) -> list[Startable]:
        """The functions that are executed at this endpoint."""
        return [
            each
            for each in self.pushed()
            if each.environment == environment and each.push is not None and each.push.url == url
        ]

    def count(self) -> int:
        return len(self._functions)

    def started_by(
        self, environment: str, name: str, data: Callable[[], Any], about: Callable[[], dict[str, Any]]
    ) -> list[Startable]:
        """The active functions that an event starts, each once, by id.

        data, about: give the event's data and what else an expression can ask of it; called when one needs it.
        """
        rules = self._candidates(environment, name)
        if not rules:
            return []
        found: dict[str, Startable] = {}
        for rule in rules:
            function = rule.function
            if function.id in found or function.status != "active":
                continue
            if rule.expression is not None and not rule.expression.matches(data(), name=name, **about()):
                continue
            found[function.id] = function
        return [found[function_id] for function_id in sorted(found)] if len(found) > 1 else list(found.values())

    def _candidates(self, environment: str, name: str) -> Sequence[_Rule]:
        rules = self._exact.get((environment, name), ())
        if not self._patterns:
            return rules
        rules = list(rules)
        end = -1
        while True:
            # Every prefix of the name that ends with a dot, the empty one first.
            for rule in self._patterns.get((environment, name[: end + 1]), ()):
                if compiled(rule.pattern).fullmatch(name):
                    rules.append(rule)
            end = name.find(".", end + 1)
            if end < 0:
                return rules

    def _replace(self, row: FunctionRow) -> None:
        key = (row.environment, row.id)
        self._share(row)
        if row.status == "deleted":
            self._functions.pop(key, None)
            self._pushed.pop(key, None)
            self._put(key, ())
            return
        function = startable(row, self._defaults, self._change_of(row))
        self._functions[key] = function
        if function.push is not None:
            self._pushed[key] = function
        else:
            self._pushed.pop(key, None)
        rules = [
            _Rule(function, trigger.event, expression(trigger.expression) if trigger.expression else None)
            for trigger in row.config.triggers
            if trigger.event
        ]
        self._put(key, tuple(rules))

    def _share(self, row: FunctionRow) -> None:
        """The function's share in a limit, instead of the one it had. Dicts are replaced, never changed."""
        known = self._functions.get((row.environment, row.id))
        if known is not None and known.concurrency_scope:
            before = (row.environment, known.concurrency_scope)
            others = self._scopes.get(before, {}).items()
            self._scopes[before] = {name: limit for name, limit in others if name != row.id}
        limit = row.config.concurrency
        if row.status != "deleted" and limit is not None and limit.scope:
            at = (row.environment, limit.scope)
            self._scopes[at] = {**self._scopes.get(at, {}), row.id: limit.limit}

    def _put(self, key: Key, rules: tuple[_Rule, ...]) -> None:
        """The rules of a function instead of those it had; replaced at once where both share a table entry."""
        environment, function_id = key
        for pattern in {rule.pattern for rule in (*self._rules.pop(key, ()), *rules)}:
            table, at = self._home(environment, pattern)
            others = (rule for rule in table.get(at, ()) if (rule.function.id, rule.pattern) != (function_id, pattern))
            table[at] = (*others, *(rule for rule in rules if rule.pattern == pattern))
            if not table[at]:
                del table[at]
        self._rules[key] = rules

    def _home(self, environment: str, pattern: str) -> tuple[dict[Key, tuple[_Rule, ...]], Key]:
        if not is_pattern(pattern):
            return self._exact, (environment, pattern)
        prefix = literal_prefix(pattern)
        return self._patterns, (environment, prefix[: prefix.rfind(".") + 1])


def _push_target(row: FunctionRow) -> PushTarget | None:
    if not is_push(row):
        return None
    breaker = row.config.circuit_breaker or CircuitBreakerConfig()
    return PushTarget(
        url=row.config.endpoint_url,
        budget_ms=row.config.push_budget_ms,
        checkpoints=row.config.push_checkpoints,
        failure_threshold=breaker.failure_threshold,
        open_ms=breaker.open_duration_ms,
        max_open_ms=breaker.max_open_duration_ms,
    )
