"""Every operation says what a transport, a permission check and a reader need."""

import re
from collections import Counter
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import IronflowError
from ironflow.base.fields import fields_of
from ironflow.base.operation import Operation, Route
from tests.structure.contracts import all_operations, name_of

OPERATIONS = all_operations()
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)


def repeated(values: list[Any]) -> list[Any]:
    return [value for value, times in Counter(values).items() if times > 1]


def address(route: Route) -> tuple[str, str]:
    """A route as a router sees it: names of path parameters make no difference."""
    return route.method, re.sub(r"\{\w+(\.\.\.)?\}", r"{\1}", route.path)


def parameters(route: Route) -> set[str]:
    return set(re.findall(r"\{(\w+)(?:\.\.\.)?\}", route.path))


def test_there_are_operations_to_look_at():
    assert len(OPERATIONS) > 30


def test_operation_names_are_unique():
    assert repeated([operation.name for operation in OPERATIONS]) == []


def test_rest_addresses_are_unique():
    assert repeated([address(route) for operation in OPERATIONS for route in operation.rest]) == []


def test_rpc_names_are_unique():
    assert repeated([rpc for operation in OPERATIONS for rpc in operation.rpc]) == []


def test_error_codes_mean_one_thing():
    classes = {error for operation in OPERATIONS for error in operation.errors}
    assert repeated([error.code for error in classes]) == []


@each_operation
def test_an_operation_is_described_by_a_sentence(operation: Operation[Any, Any]):
    assert re.fullmatch(r"[A-Z].*\.", operation.doc), operation.doc


@each_operation
def test_an_operation_names_its_scope(operation: Operation[Any, Any]):
    assert operation.scope == "public" or re.fullmatch(r"[a-z_]+:[a-z_]+", operation.scope)


@each_operation
def test_an_operation_is_named_by_its_feature_and_a_verb(operation: Operation[Any, Any]):
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", operation.name)


@each_operation
def test_an_operation_can_be_reached(operation: Operation[Any, Any]):
    assert operation.rest or operation.rpc


@each_operation
def test_routes_are_well_formed(operation: Operation[Any, Any]):
    for route in operation.rest:
        assert route.method in {"GET", "POST", "PUT", "PATCH", "DELETE"}
        assert re.fullmatch(r"(/[\w.-]+|/\{\w+(\.\.\.)?\})+", route.path), route.path


@each_operation
def test_the_fields_that_an_operation_names_exist(operation: Operation[Any, Any]):
    accepted = set(fields_of(operation.request))
    for field in fields_of(operation.request).values():
        accepted.update(field.also)
    sent = set(fields_of(operation.response)) if operation.response else set[str]()

    asked = set(operation.headers.values()) | {operation.body, operation.body_or}
    asked |= {name for route in operation.rest for name in parameters(route)}
    answered = set(operation.response_headers.values()) | {operation.empty_when}

    assert asked - {None} <= accepted
    assert answered - {None} <= sent


@each_operation
def test_the_errors_of_an_operation_explain_themselves(operation: Operation[Any, Any]):
    for error in operation.errors:
        assert issubclass(error, IronflowError)
        assert (error.__doc__ or "").strip().endswith("."), error
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", error.code), error


@each_operation
def test_messages_are_named_fields_in_snake_case(operation: Operation[Any, Any]):
    for message in filter(None, (operation.request, operation.response)):
        assert issubclass(message, msgspec.Struct)
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in message.__struct_fields__), message
