"""Hostile schemas are refused, or bounded, before a validator sees them."""

import time
from typing import Any

import pytest

from ironflow.base.json import write_json_text
from ironflow.features.schemas.compiled import WORK_MAX, Compiled
from ironflow.features.schemas.contract import InvalidSchema
from ironflow.features.schemas.effort import Effort
from ironflow.features.schemas.rules import SCHEMA_BYTES_MAX, check_schema_text


def doubling(levels: int, **more: Any) -> dict[str, Any]:
    """Definitions that each refer twice to the next: 2 to the power of `levels` evaluations."""
    twice = {f"d{each}": {"allOf": [{"$ref": f"#/$defs/d{each + 1}"}] * 2} for each in range(levels)}
    return {"$defs": {**twice, f"d{levels}": {"properties": {"a": True}}}, "$ref": "#/$defs/d0", **more}


def nested(levels: int, inner: Any = "end") -> Any:
    for _ in range(levels):
        inner = {"a": inner}
    return inner


TREE = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "value": {"type": "integer"}}}
# Meets itself twice at every level of the data.
BRANCHING = {
    "anyOf": [{"properties": {"a": {"$ref": "#"}}, "not": {}}, {"properties": {"a": {"$ref": "#"}}, "not": {}}]
}
ANY_JSON = {
    "$defs": {
        "json": {
            "anyOf": [
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/json"}},
                {"type": "array", "items": {"$ref": "#/$defs/json"}},
                {"type": ["string", "number"]},
            ]
        }
    },
    "$ref": "#/$defs/json",
}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "http://127.0.0.1:1/schema"}, "nothing is fetched"),
        ({"$ref": "file:/etc/passwd"}, "nothing is fetched"),
        ({"$id": "http://example.com/a", "$ref": "b"}, "nothing is fetched"),
        ({"properties": {"a": {"$dynamicRef": "https://example.com/x#y"}}}, "nothing is fetched"),
        ({"properties": {"a": {"$id": "http://example.com/inner"}}}, "$id of its own"),
        ({"$ref": "#"}, "refers to itself"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "itself"),
        ({"$ref": "#/$defs/none"}, "no such part"),
        ({"$ref": "#none"}, "no such anchor"),
        ({"required": ["a"], "$ref": "#/required"}, "is no schema"),
        (doubling(40), "evaluations"),
        (doubling(20, unevaluatedProperties=False), "evaluations"),
        ({"type": "objekt"}, "not valid at /type"),
        ({"properties": {"a": {"pattern": "("}}}, "not valid at /properties/a/pattern"),
        ({"pattern": r"(a)\1"}, "back-references"),
        ({"pattern": "((a{100}){100}){100}"}, "pattern"),
    ],
)
def test_a_schema_that_cannot_be_held_to_is_refused_at_once_with_the_reason(schema: Any, message: str):
    began = time.perf_counter()

    with pytest.raises(InvalidSchema) as refusal:
        Compiled(schema)

    assert message in refusal.value.message
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "object, or true or false"),
        ('"text"', "object, or true or false"),
        ('{"$schema": "http://json-schema.org/draft-07/schema#"}', "draft-07"),
        ('{"$schema": 7}', "$schema"),
        ('{"a": "' + "x" * SCHEMA_BYTES_MAX + '"}', "bytes"),
        ('{"not": ' * 150 + "true" + "}" * 150, "150 levels"),
        ("[" * 100_000, "levels"),
    ],
)
def test_a_text_that_is_no_schema_is_refused(text: str, message: str):
    with pytest.raises(InvalidSchema) as refusal:
        check_schema_text(text)

    assert message in refusal.value.message


@pytest.mark.parametrize("text", ["true", "false", "{}", '{"$schema": "https://json-schema.org/draft/2020-12/schema"}'])
def test_the_smallest_schemas_are_schemas(text: str):
    Compiled(check_schema_text(text))


def test_a_pattern_that_keeps_backtracking_engines_busy_for_ever_takes_no_time():
    began = time.perf_counter()

    violations = Compiled({"properties": {"a": {"pattern": "^(a+)+$"}}}).violations(
        write_json_text({"a": "a" * 50_000 + "!"})
    )

    assert [each.path for each in violations] == ["/a"]
    assert time.perf_counter() - began < 2


def test_a_recursion_that_does_not_branch_is_checked_to_any_depth():
    assert Effort(TREE).depth_max(WORK_MAX) is None
    deep: Any = {"value": "no number"}
    for _ in range(150):
        deep = {"left": deep}

    violations = Compiled(TREE).violations(write_json_text(deep))

    assert [each.path for each in violations] == ["/left" * 150 + "/value"]


@pytest.mark.parametrize("levels", [3, 12, 18, 60])
def test_data_that_a_branching_recursion_would_take_years_for_is_judged_in_bounded_time(levels: int):
    began = time.perf_counter()

    violations = Compiled(BRANCHING).violations(write_json_text(nested(levels)))

    assert len(violations) == 1
    assert time.perf_counter() - began < 2


def test_what_is_too_deep_for_a_branching_recursion_does_not_fit_it():
    limit = Effort(ANY_JSON).depth_max(WORK_MAX)
    assert limit is not None
    any_json = Compiled(ANY_JSON)

    assert any_json.violations(write_json_text(nested(limit))) == []
    assert "deeper than" in any_json.violations(write_json_text(nested(limit + 1)))[0].reason


def test_a_dynamic_reference_is_counted_as_one():
    schema = {
        "$dynamicAnchor": "node",
        "properties": {"children": {"items": {"$dynamicRef": "#node"}}},
        "type": "object",
    }

    violations = Compiled(schema).violations('{"children": [{"children": [7]}]}')

    assert [each.path for each in violations] == ["/children/0/children/0"]


def test_reasons_hold_names_and_no_values_of_the_data():
    (violation,) = Compiled({"properties": {"card": {"type": "integer"}}}).violations('{"card": "4111 1111"}')

    assert (violation.path, violation.reason) == ("/card", 'the value is not of type "integer"')


def test_integers_of_any_size_are_compared_exactly():
    schema = Compiled({"maximum": 9007199254740993})

    assert schema.violations("9007199254740993") == []
    assert len(schema.violations("9007199254740994")) == 1
