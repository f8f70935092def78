"""What is decided: whether a caller with given policies may do something, and by which rule."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

from ironflow.base.call import Call
from ironflow.base.condition import condition
from ironflow.base.errors import PermissionDenied
from ironflow.base.time import Millis, to_datetime
from ironflow.features.policies import contract

ACTIONS_MAX = 200
# The fields that name what a request is about, the first that it has.
RESOURCE_FIELDS = (
    "event",
    "event_name",
    "topic",
    "function_id",
    "entity_id",
    "bucket",
    "name",
    "pattern",
    "group_name",
    "run_id",
    "id",
)
# Decisions that depend on the resource are remembered up to this number for each key.
DECISIONS_MAX = 1000

_PART = re.compile(r"[a-z_*]+:[a-z_*]+|\*")


class PolicyRow(NamedTuple):
    """actions, resources: patterns separated by commas. condition: CEL, empty for none. version: counts changes."""

    id: str
    org_id: str
    name: str
    effect: str
    actions: str
    resources: str
    condition: str
    created_at: Millis
    updated_at: Millis
    version: int = 1
    changed_by: str = ""


class Question(NamedTuple):
    """What is asked. action: a scope. resource: `noun/name`, or the noun alone. request: the operation's fields."""

    action: str
    resource: str
    environment: str
    request: dict[str, Any]
    subject: dict[str, Any]
    now: Millis


class Decision(NamedTuple):
    """rule: the policy that decided, empty when none allows it."""

    allowed: bool
    rule: str
    reason: str


def check_policy(effect: str, actions: str, resources: str, source: str) -> None:
    """Raises InvalidPolicy, InvalidCondition."""
    if effect not in ("allow", "deny"):
        raise contract.InvalidPolicy(f"The effect is {effect[:40]!r}; write allow or deny.")
    parts = parts_of(actions)
    if not parts or len(parts) > ACTIONS_MAX:
        raise contract.InvalidPolicy(f"A policy has 1 to {ACTIONS_MAX} actions; this one has {len(parts)}.")
    for part in parts:
        if not _PART.fullmatch(part):
            raise contract.InvalidPolicy(
                f"{part[:60]!r} is not an action: write a scope such as events:emit, emit:*, events:* or *."
            )
    if not parts_of(resources):
        raise contract.InvalidPolicy("A policy names the resources that it is about; * is all of them.")
    if source:
        condition(source)


def parts_of(patterns: str) -> list[str]:
    """The patterns of a comma-separated list."""
    return [part for each in patterns.split(",") if (part := each.strip())]


def matches_action(pattern: str, action: str) -> bool:
    """Whether a pattern means this scope: `*`, the scope itself, `events:*` by noun, `emit:*` or `*:emit` by verb."""
    if pattern in ("*", "*:*", action):
        return True
    noun, _, verb = action.partition(":")
    first, _, second = pattern.partition(":")
    return (second == "*" and first in (noun, verb)) or (first == "*" and second == verb)


def matches_resource(pattern: str, resource: str) -> bool:
    """`*` stands for any text; a pattern without a slash also means everything of that noun."""
    return bool(_resource_pattern(pattern).fullmatch(resource))


@lru_cache(maxsize=4096)
def _resource_pattern(pattern: str) -> re.Pattern[str]:
    text = "".join(".*" if each == "*" else re.escape(each) for each in pattern)
    return re.compile(text if "/" in pattern or "*" in pattern else text + "(/.*)?", re.DOTALL)


def resource_of(action: str, request: Any) -> str:
    """The resource that a request is about: `events/order.placed`, or `events` when it names nothing.

    request: the operation's message, or None.
    """
    noun = action.partition(":")[0]
    for name in RESOURCE_FIELDS:
        value = getattr(request, name, None)
        if isinstance(value, str) and value:
            return f"{noun}/{value}"
    return noun


def decide_access(policies: list[PolicyRow], question: Question) -> Decision:
    """Whether a caller with these policies may do this. A deny wins over every allow; without an allow it is refused.

    A condition that cannot be decided makes an allow not match and a deny match.
    Source: docs/guides/security.md, "Policies".
    """
    allow: PolicyRow | None = None
    for policy in policies:
        if not _applies(policy, question):
            continue
        if policy.effect == "deny":
            return Decision(False, policy.id, f"policy {policy.name!r} denies {question.action}")
        allow = allow or policy
    if allow is None:
        return Decision(False, "", f"no role of the caller allows {question.action} on {question.resource}")
    return Decision(True, allow.id, f"policy {allow.name!r} allows {question.action}")


def _applies(policy: PolicyRow, question: Question) -> bool:
    if not any(matches_action(each, question.action) for each in parts_of(policy.actions)):
        return False
    if not any(matches_resource(each, question.resource) for each in parts_of(policy.resources)):
        return False
    if not policy.condition:
        return True
    request = {
        **question.request,
        "action": question.action,
        "resource": question.resource,
        "environment": question.environment,
    }
    held = condition(policy.condition).holds(request, question.subject, to_datetime(question.now).isoformat())
    return policy.effect == "deny" if held is None else held


class Grant:
    """What one key or user may do: the policies of its roles, those that can apply by action, and decisions so far.

    It is made anew when a role, a policy or the key changes.
    """

    __slots__ = ("_allowed", "_by_action", "_by_resource", "_policies", "org_id", "roles", "subject")

    def __init__(self, subject: str, roles: tuple[str, ...], policies: list[PolicyRow], org_id: str = "") -> None:
        self.roles, self.org_id = roles, org_id
        self.subject: dict[str, Any] = {"key": subject, "roles": list(roles), "org": org_id}
        self._policies = policies
        self._by_action: dict[str, tuple[list[PolicyRow], Literal["always", "resource", "request"]]] = {}
        # Scopes that are allowed whatever the request.
        self._allowed: set[str] = set()
        self._by_resource: dict[tuple[str, str], Decision] = {}

    @property
    def policies(self) -> list[PolicyRow]:
        return self._policies

    @property
    def has_denials(self) -> bool:
        return any(policy.effect == "deny" for policy in self._policies)

    @property
    def is_unlimited(self) -> bool:
        return not self.has_denials and any(
            not {"*", "*:*"}.isdisjoint(parts_of(policy.actions))
            and "*" in parts_of(policy.resources)
            and not policy.condition
            for policy in self._policies
        )

    def check_scope(self, call: Call, scope: str) -> None:
        """Raises PermissionDenied where no request that needs `scope` is allowed, whatever its fields."""
        if scope in self._allowed:
            return
        policies, depends_on = self._by_action.get(scope) or self._applicable(scope)
        if depends_on == "always":
            self.check(call, scope, None)
        elif all(policy.effect == "deny" for policy in policies):
            raise PermissionDenied(f"This needs {scope}: no role of the caller allows it.")

    def check(self, call: Call, scope: str, request: Any) -> None:
        """Raises PermissionDenied, which names the rule."""
        if scope in self._allowed:
            return
        decision = self.decide(call, scope, request)
        if not decision.allowed:
            raise PermissionDenied(f"This needs {scope}: {decision.reason}.")

    def decide(self, call: Call, scope: str, request: Any) -> Decision:
        policies, depends_on = self._by_action.get(scope) or self._applicable(scope)
        if depends_on == "always":
            decision = decide_access(policies, self._question(call, scope, resource_of(scope, None), {}))
            if decision.allowed:
                self._allowed.add(scope)
            return decision
        resource = resource_of(scope, request)
        if depends_on == "resource":
            known = self._by_resource.get((scope, resource))
            if known is None:
                if len(self._by_resource) >= DECISIONS_MAX:
                    self._by_resource.clear()
                known = decide_access(policies, self._question(call, scope, resource, {}))
                self._by_resource[scope, resource] = known
            return known
        return decide_access(policies, self._question(call, scope, resource, fields_of(request)))

    def rule_of(self, call: Call, scope: str, request: Any) -> str:
        """The policy or built-in role that allows it; empty when none does."""
        return self.decide(call, scope, request).rule

    def decide_about(self, call: Call, scope: str, resource: str, request: dict[str, Any]) -> Decision:
        """As `decide`, for a resource and fields that are given."""
        return decide_access(self._policies, self._question(call, scope, resource, request))

    def _applicable(self, scope: str) -> tuple[list[PolicyRow], Literal["always", "resource", "request"]]:
        found = [
            policy for policy in self._policies if any(matches_action(each, scope) for each in parts_of(policy.actions))
        ]
        depends_on: Literal["always", "resource", "request"] = "resource"
        if any(policy.condition for policy in found):
            depends_on = "request"
        elif all(policy.resources.strip() == "*" for policy in found):
            depends_on = "always"
        self._by_action[scope] = found, depends_on
        return found, depends_on

    def _question(self, call: Call, scope: str, resource: str, request: dict[str, Any]) -> Question:
        return Question(scope, resource, call.environment, request, self.subject, call.now)


def fields_of(request: object) -> dict[str, Any]:
    """The fields of a message that a condition can read: texts, numbers, booleans, lists of texts."""
    found: dict[str, Any] = {}
    for name in getattr(type(request), "__struct_fields__", ()):
        value: object = getattr(request, name)
        if isinstance(value, str | bool | int | float):
            found[name] = value
        elif isinstance(value, list | tuple) and all(isinstance(each, str) for each in cast("Sequence[object]", value)):
            found[name] = [*cast("Sequence[str]", value)]
    return found
