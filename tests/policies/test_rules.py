"""Decisions about access, as tables."""

import pytest

from ironflow.base.condition import InvalidCondition
from ironflow.features.policies import contract, rules
from ironflow.features.policies.rules import Decision, PolicyRow, Question, decide_access


def a_policy(effect: str, actions: str, resources: str = "*", condition: str = "", name: str = "p") -> PolicyRow:
    return PolicyRow(f"policy_{name}", "org_default", name, effect, actions, resources, condition, 0, 0)


def a_question(action: str, resource: str = "", request: dict[str, object] | None = None) -> Question:
    noun = action.partition(":")[0]
    return Question(action, resource or noun, "default", request or {}, {"key": "apikey_1", "roles": ["role_x"]}, 0)


@pytest.mark.parametrize(
    ("pattern", "action", "matches"),
    [
        ("*", "events:emit", True),
        ("events:emit", "events:emit", True),
        ("events:*", "events:emit", True),
        ("emit:*", "events:emit", True),
        ("*:emit", "events:emit", True),
        ("*:*", "events:emit", True),
        ("emit:*", "events:read", False),
        ("events:read", "events:emit", False),
        ("event:*", "events:emit", False),
        ("*:emi", "events:emit", False),
    ],
)
def test_an_action_matches_a_scope_by_noun_verb_or_whole(pattern: str, action: str, matches: bool):
    assert rules.matches_action(pattern, action) is matches


@pytest.mark.parametrize(
    ("pattern", "resource", "matches"),
    [
        ("*", "events/order.placed", True),
        ("events/order.*", "events/order.placed", True),
        ("events/order.*", "events/cart.filled", False),
        ("events", "events/order.placed", True),
        ("events", "events", True),
        ("events", "eventsx", False),
        ("kv/users.", "kv/usersx", False),
        ("events/*", "events", False),
    ],
)
def test_a_resource_matches_by_its_name(pattern: str, resource: str, matches: bool):
    assert rules.matches_resource(pattern, resource) is matches


def test_without_an_allow_it_is_refused():
    assert decide_access([], a_question("events:emit")) == Decision(
        False, "", "no role of the caller allows events:emit on events"
    )


def test_a_deny_wins_over_every_allow():
    allow, deny = a_policy("allow", "*", name="all"), a_policy("deny", "events:emit", name="no")
    for policies in ([allow, deny], [deny, allow]):
        assert decide_access(policies, a_question("events:emit")).rule == "policy_no"
        assert decide_access(policies, a_question("events:read")).allowed


@pytest.mark.parametrize(
    ("effect", "request_", "allowed"),
    [
        ("allow", {"namespace": "production"}, True),
        ("allow", {"namespace": "test"}, False),
        ("allow", {}, False),
        ("deny", {"namespace": "production"}, False),
        ("deny", {"namespace": "test"}, True),
        ("deny", {}, False),
    ],
)
def test_a_condition_without_its_field_makes_an_allow_not_match_and_a_deny_match(
    effect: str, request_: dict[str, object], allowed: bool
):
    condition = 'request.namespace == "production"'
    policies = [a_policy(effect, "*", condition=condition)] + ([a_policy("allow", "*")] if effect == "deny" else [])
    assert decide_access(policies, a_question("events:emit", request=request_)).allowed is allowed


@pytest.mark.parametrize(
    "condition",
    [
        'request.action == "events:emit" && request.resource == "events" && request.environment == "default"',
        '"role_x" in subject.roles && subject.key == "apikey_1"',
        'timestamp(now) < timestamp("1970-01-02T00:00:00Z")',
    ],
)
def test_a_condition_reads_the_request_the_subject_and_the_time(condition: str):
    assert decide_access([a_policy("allow", "*", condition=condition)], a_question("events:emit")).allowed


@pytest.mark.parametrize(
    "condition",
    [
        "[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, " * 5 + "true" + "))" * 5,
        "'a'.matches('(a+)+$')  && request.missing",
        "1 / 0 == 1",
        "1",
    ],
)
def test_a_hostile_condition_allows_nothing(condition: str):
    assert not decide_access([a_policy("allow", "*", condition=condition)], a_question("events:emit")).allowed


@pytest.mark.parametrize(
    ("effect", "actions", "resources", "condition", "error"),
    [
        ("maybe", "*", "*", "", contract.InvalidPolicy),
        ("allow", "", "*", "", contract.InvalidPolicy),
        ("allow", "emit", "*", "", contract.InvalidPolicy),
        ("allow", "EVENTS:EMIT", "*", "", contract.InvalidPolicy),
        ("allow", "*", " , ", "", contract.InvalidPolicy),
        ("allow", "*", "*", "request.", InvalidCondition),
        ("allow", "*", "*", "x" * 5000, InvalidCondition),
    ],
)
def test_a_policy_that_means_nothing_is_refused(
    effect: str, actions: str, resources: str, condition: str, error: type[Exception]
):
    with pytest.raises(error):
        rules.check_policy(effect, actions, resources, condition)


def test_a_resource_is_named_by_the_noun_and_the_first_field_that_names_something():
    assert rules.resource_of("policies:write", contract.NamedPolicy(id="policy_1")) == "policies/policy_1"
    assert rules.resource_of("events:emit", None) == "events"
