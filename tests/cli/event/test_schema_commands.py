"""`ironflow schema` against a real server."""

import sys
import uuid

import pytest

MODULE = """
import dataclasses
import msgspec
import pydantic
import ironflow


@dataclasses.dataclass
class Line:
    sku: str


class Order(msgspec.Struct):
    lines: list[Line]


class Refund(pydantic.BaseModel):
    refund_id: str = pydantic.Field(alias="refundId")
    cents: int = pydantic.Field(ge=1)


placed_1 = ironflow.define_event(name="{event}", version=1, schema={{"type": "object"}})
placed_2 = ironflow.define_event(name="{event}", version=2, type=Order, upcast=dict, description="An order.")
refunded = ironflow.define_event(name="{event}/refunded", version=1, type=Refund)
bare = ironflow.define_event(name="bare")
"""


@pytest.fixture
def event():
    return f"shop/order-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def module(event, tmp_path):
    """A file that defines two versions of an event whose name holds a slash."""
    name = f"events_{uuid.uuid4().hex[:8]}"
    path = tmp_path / f"{name}.py"
    path.write_text(MODULE.format(event=event))
    yield str(path)
    sys.modules.pop(name, None)


def test_schemas_of_a_module_are_pushed_and_checked(ironflow, module, event):
    assert ironflow("schema", "check", module).code == 1

    dry = ironflow("schema", "push", module, "--dry-run", "--json").json
    assert [each["status"] for each in dry["schemas"]] == ["new", "new", "new"]
    pushed = ironflow("schema", "push", module, "--json").json
    statuses = [(each["version"], each["status"]) for each in pushed["schemas"]]
    assert statuses == [(1, "created"), (2, "created"), (1, "created")]
    assert ironflow("schema", "check", module).code == 0
    again = ironflow("schema", "push", module).out.split()
    assert again.count("unchanged") == 3

    found = ironflow("schema", "get", event, "--json").json
    assert (found["version"], found["description"]) == (2, "An order.")
    assert found["schema"]["$defs"]["Line"]["required"] == ["sku"]
    of_model = ironflow("schema", "get", f"{event}/refunded", "--json").json["schema"]
    assert (of_model["required"], of_model["properties"]["cents"]["minimum"]) == (["refundId", "cents"], 1)
    listed = ironflow("schema", "list", "--name", event).out.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [[event, "1"], [event, "2"]]


def test_a_schema_is_registered_from_a_file_and_deleted(ironflow, event, tmp_path):
    (tmp_path / "order.json").write_text('{"type": "object"}')

    assert ironflow("schema", "register", event, f"@{tmp_path / 'order.json'}").out == f"created {event} version 1\n"
    bad = ironflow("schema", "register", event, '{"type": "objekt"}')
    assert (bad.code, "/type" in bad.err) == (2, True)
    assert ironflow("schema", "delete", event, "--version", "1").code == 0
    assert ironflow("schema", "get", event).code == 4
    assert ironflow("schema", "delete", event, "--version", "1").code == 4


def test_a_module_without_events_is_refused_with_advice(ironflow, tmp_path):
    (tmp_path / "nothing_here.py").write_text("x = 1\n")

    refused = ironflow("schema", "push", str(tmp_path / "nothing_here.py"))

    assert (refused.code, "define_event" in refused.err) == (2, True)
