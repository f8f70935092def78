"""Pydantic models as types of data: their schemas fit what is written of them, and they are read back."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from ironflow.base.errors import SerializationError, ValidationError
from ironflow.sdk.values.definitions import define_event
from ironflow.sdk.values.json_schema import schema_of
from ironflow.sdk.values.payload import from_payload, is_modelled, reader_of, to_payload


class Kind(Enum):
    GIFT = "gift"


class Line(BaseModel):
    sku: str
    count: int = Field(default=1, ge=1)


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    order_id: str = Field(alias="orderId")
    lines: list[Line]
    total: Decimal
    placed: datetime
    kind: Kind | None = None


class Tree(BaseModel):
    name: str
    branches: list["Tree"] = []


class Lines(RootModel[list[Line]]): ...


class Parcel(msgspec.Struct):
    order: Order
    spare: Line


@dataclass
class Shelf:
    lines: list[Line]


ORDER = Order(orderId="7", lines=[Line(sku="a")], total=Decimal("12.50"), placed=datetime(2026, 11, 21, tzinfo=UTC))
VALUES = [
    ORDER,
    Tree(name="root", branches=[Tree(name="leaf")]),
    Lines([Line(sku="a", count=2)]),
    Parcel(order=ORDER, spare=Line(sku="b")),
    Shelf(lines=[Line(sku="c")]),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_written_fits_the_schema_and_is_read_back(value: Any):
    payload = to_payload(value, "the value")

    jsonschema_rs.validator_for(schema_of(type(value))).validate(from_payload(payload))
    assert reader_of(type(value))(payload) == value
    assert is_modelled(type(value))


def test_members_are_written_under_their_aliases():
    assert from_payload(to_payload(ORDER, "the order"))["orderId"] == "7"


def test_a_definition_of_a_model_has_the_schema_of_the_model():
    schema = define_event(name="order.placed", version=2, type=Order).json_schema()

    assert schema is not None
    assert schema["required"] == ["orderId", "lines", "total", "placed"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Line"]["properties"]["count"] == {
        "default": 1, "minimum": 1, "title": "Count", "type": "integer",
    }  # fmt: skip


def test_two_models_of_one_name_within_a_type_are_refused():
    inner = {each: type("Inner", (BaseModel,), {"__annotations__": {"x": each}}) for each in (int, str)}
    outer = [type(f"Outer{n}", (BaseModel,), {"__annotations__": {"i": kind}}) for n, kind in enumerate(inner.values())]
    holder = msgspec.defstruct("Holder", [("first", outer[0]), ("second", outer[1])])

    with pytest.raises(ValidationError, match="two types within Holder are called 'Inner'"):
        schema_of(holder)


def test_data_that_a_model_refuses_is_reported_with_the_field():
    with pytest.raises(ValidationError, match=r"the data does not fit Line(?s:.*)count"):
        reader_of(Line)(to_payload({"sku": "a", "count": 0}, "the line"))


def test_a_model_that_holds_nan_is_refused():
    class Reading(BaseModel):
        value: float

    with pytest.raises(SerializationError, match="NaN"):
        to_payload(Reading(value=float("nan")), "the reading")
