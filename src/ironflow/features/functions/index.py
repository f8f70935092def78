"""Which functions an event starts: kept in memory, brought up to date by comparing one number in the transaction.

Looking up costs the same however many functions do not match: exact names are a dict, patterns are found by the
literal text before their first wildcard.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ironflow.base.cel import Expression, expression
from ironflow.base.pattern import compiled, is_pattern, literal_prefix
from ironflow.engine.model import Policy, Recording
from ironflow.features.functions import store
from ironflow.features.functions.contract import CancelOnSpec, DebounceConfig, ThrottleConfig
from ironflow.features.functions.recording import recording_of
from ironflow.features.functions.rules import FunctionRow, policy_of
from ironflow.storage.port import Tx

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
    actor_key: str = ""
    concurrency_limit: int = 0
    concurrency_key: str = ""
    holds_slot: bool = True
    recorded: Recording = ""
    cancel_on: tuple[CancelOnSpec, ...] = ()
    throttle: ThrottleConfig | None = None
    debounce: DebounceConfig | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    function: Startable
    pattern: str
    expression: Expression | None


class FunctionIndex:
    """Functions by id, and by the events that start them."""

    def __init__(self, defaults: Policy) -> None:
        self._defaults = defaults
        self._epoch = 0
        self._doubtful = False
        self._functions: dict[Key, Startable] = {}
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
        """As if nothing had been known; whoever looks meanwhile finds what was known before."""
        self._doubtful = False
        fresh = FunctionIndex(self._defaults)
        epoch = store.epoch(tx)
        for row in store.changed_since(tx, 0):
            fresh._replace(row)
        self._functions, self._rules = fresh._functions, fresh._rules
        self._exact, self._patterns = fresh._exact, fresh._patterns
        self._epoch = epoch

    def get(self, environment: str, function_id: str) -> Startable | None:
        return self._functions.get((environment, function_id))

    def count(self) -> int:
        return len(self._functions)

    def started_by(self, environment: str, name: str, data: Any, about: dict[str, Any]) -> list[Startable]:
        """The active functions that an event starts, each once, by id.

        data: the event's data, or a function that decodes it when an expression needs it.
        """
        found: dict[str, Startable] = {}
        for rule in self._candidates(environment, name):
            function = rule.function
            if function.id in found or function.status != "active":
                continue
            if rule.expression is not None and not rule.expression.matches(data(), name=name, **about):
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
        place = (row.environment, row.id)
        if row.status == "deleted":
            self._functions.pop(place, None)
            self._put(place, ())
            return
        function = Startable(
            environment=row.environment,
            id=row.id,
            version=row.version,
            status=row.status,
            policy=policy_of(row.config, self._defaults),
            has_triggers=bool(row.config.triggers),
            actor_key=row.config.actor_key,
            concurrency_limit=row.config.concurrency.limit if row.config.concurrency else 0,
            concurrency_key=row.config.concurrency.key if row.config.concurrency else "",
            holds_slot=row.config.pause_behavior != "release",
            recorded=recording_of(row.config.recording, row.config.recording_profile),
            cancel_on=tuple(spec for spec in row.config.cancel_on if spec.event and spec.match),
            throttle=row.config.throttle if row.config.throttle and row.config.throttle.limit else None,
            debounce=row.config.debounce if row.config.debounce and row.config.debounce.period_ms else None,
        )
        self._functions[place] = function
        rules = [
            _Rule(function, trigger.event, expression(trigger.expression) if trigger.expression else None)
            for trigger in row.config.triggers
            if trigger.event and not trigger.cron
        ]
        self._put(place, tuple(rules))

    def _put(self, place: Key, rules: tuple[_Rule, ...]) -> None:
        """The rules of a function instead of those it had; where both are found at one place, at one stroke."""
        environment, function_id = place
        for pattern in {rule.pattern for rule in (*self._rules.pop(place, ()), *rules)}:
            table, at = self._home(environment, pattern)
            others = (rule for rule in table.get(at, ()) if (rule.function.id, rule.pattern) != (function_id, pattern))
            table[at] = (*others, *(rule for rule in rules if rule.pattern == pattern))
            if not table[at]:
                del table[at]
        self._rules[place] = rules

    def _home(self, environment: str, pattern: str) -> tuple[dict[Key, tuple[_Rule, ...]], Key]:
        if not is_pattern(pattern):
            return self._exact, (environment, pattern)
        prefix = literal_prefix(pattern)
        return self._patterns, (environment, prefix[: prefix.rfind(".") + 1])
