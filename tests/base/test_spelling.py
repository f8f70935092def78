"""Between wire and message: both spellings in, the right one out. Source: protocol/connectrpc.md 2, rest.md 1.3."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.fields import Message, WireEnum, field, fields_of
from ironflow.base.json import InvalidJson, Json, null
from ironflow.base.spelling import BadField, camel, message_to_json, reader
from ironflow.base.time import to_datetime


class Colour(WireEnum):
    DARK_RED = "dark_red"
    BLUE = "blue"

    @classmethod
    def prefix(cls) -> str:
        return "COLOUR_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"dark_red": 1, "blue": 2}


class Box(Message, kw_only=True):
    box_id: str
    weight_g: Annotated[int, field(int64=True)] = 0


class Parcel(Message, kw_only=True):
    parcel_id: Annotated[str, field(also=("id",))]
    box_count: Annotated[int, field(ge=0)] = 0
    total_g: Annotated[int, field(int64=True)] = 0
    rate: float = 0.0
    is_open: bool = False
    colour: Colour | None = None
    colours: list[Colour] = []
    sent_at: datetime | None = None
    data: Annotated[Json, field(twin=7)] = msgspec.field(default_factory=null)
    first_box: Box | None = None
    boxes: list[Box] = []
    labels: list[str] = []
    extras: dict[str, Json] = {}
    note: str | None = None
    rest_only: Annotated[str | None, field(only="rest")] = None
    rpc_only: Annotated[str | None, field(only="rpc")] = None


def read(text: str | bytes) -> Parcel:
    return reader(Parcel).read(text.encode() if isinstance(text, str) else text)


def written(message: msgspec.Struct, spelling: Any = "snake", rpc: bool = False, twins: Any = "both") -> dict[str, Any]:
    return json.loads(message_to_json(message, spelling, rpc=rpc, twins=twins))


@pytest.mark.parametrize(
    ("snake", "camel_case"), [("a", "a"), ("run_id", "runId"), ("a_b_c", "aBC"), ("is_", "is"), ("x2_y", "x2Y")]
)
def test_camel_case(snake: str, camel_case: str) -> None:
    assert camel(snake) == camel_case


# Reading


def test_both_spellings_and_other_names_are_read_also_mixed_in_one_body() -> None:
    assert read('{"parcelId": "p", "box_count": 2}') == read('{"id": "p", "boxCount": 2}')
    assert read('{"parcel_id": "p", "firstBox": {"boxId": "b"}, "boxes": [{"box_id": "c"}, {"boxId": "d"}]}') == Parcel(
        parcel_id="p", first_box=Box(box_id="b"), boxes=[Box(box_id="c"), Box(box_id="d")]
    )


def test_unknown_fields_are_passed_over_whatever_they_hold() -> None:
    assert read('{"id": "p", "unknown": {"deep": [1, {"a": null}]}, "Id": 5}') == Parcel(parcel_id="p")


def test_null_means_unset_except_in_a_payload() -> None:
    parcel = read('{"id": "p", "boxCount": null, "colour": null, "boxes": null, "note": null, "data": null}')

    assert parcel == Parcel(parcel_id="p")
    assert bytes(parcel.data) == b"null"


@pytest.mark.parametrize(
    ("written", "number"), [("5", 5), ('"5"', 5), ('"-5"', -5), ('"9223372036854775807"', 2**63 - 1), ("5.0", 5)]
)
def test_a_whole_number_may_be_a_number_or_a_text(written: str, number: int) -> None:
    assert read(f'{{"id": "p", "totalG": {written}}}').total_g == number


@pytest.mark.parametrize(
    ("written", "colour"),
    [
        ('"dark_red"', Colour.DARK_RED),
        ('"DARK_RED"', Colour.DARK_RED),
        ('"COLOUR_DARK_RED"', Colour.DARK_RED),
        ("1", Colour.DARK_RED),
        ("2", Colour.BLUE),
        ("0", None),
        ('""', None),
        ('"COLOUR_UNSPECIFIED"', None),
        ("null", None),
    ],
)
def test_every_form_of_an_enum_is_read(written: str, colour: Colour | None) -> None:
    assert read(f'{{"id": "p", "colour": {written}}}').colour == colour
    assert read(f'{{"id": "p", "colours": [{written}, "blue"]}}'.replace("[null, ", "[")).colours == [
        each for each in (colour, Colour.BLUE) if each is not None
    ]


@pytest.mark.parametrize("written", ['"green"', "3", "-1", "[]", "{}", "true", "1.5"])
def test_what_is_no_value_of_an_enum_is_refused(written: str) -> None:
    with pytest.raises(BadField, match="colour"):
        read(f'{{"id": "p", "colour": {written}}}')


@pytest.mark.parametrize(
    "written",
    ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00.000+01:00", "2026-01-31T12:00:00.000000000Z", "2026-01-31T12:00:00"],
)
def test_a_timestamp_is_read_with_any_offset_and_fraction(written: str) -> None:
    assert read(f'{{"id": "p", "sentAt": "{written}"}}').sent_at == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("key", ["data", "data_value", "dataValue"])
@pytest.mark.parametrize("payload", ['{"b": 1, "a": 2}', "[1 , 2]", '"x"', "1e2", "123456789012345678901234567890"])
def test_a_payload_is_taken_from_either_of_its_fields_byte_for_byte(key: str, payload: str) -> None:
    assert bytes(read(f'{{"id": "p", "{key}": {payload}}}').data) == payload.encode()


def test_payloads_by_name_are_kept_byte_for_byte() -> None:
    extras = read('{"id": "p", "extras": {"a": {"x" : 1}, "b": null}}').extras

    assert {key: bytes(value) for key, value in extras.items()} == {"a": b'{"x" : 1}', "b": b"null"}


@pytest.mark.parametrize("body", ["", "{}", '{"box_count": 1}', '{"id": null}'])
def test_a_required_field_that_is_missing_is_named(body: str) -> None:
    with pytest.raises(BadField, match="'parcel_id' is missing"):
        read(body)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ('{"id": 5}', "id"),
        ('{"id": "p", "boxCount": -1}', "boxCount"),
        ('{"id": "p", "box_count": "many"}', "box_count"),
        ('{"id": "p", "box_count": 1.5}', "box_count"),
        ('{"id": "p", "totalG": 9223372036854775808}', "totalG"),
        ('{"id": "p", "totalG": "99999999999999999999999"}', "totalG"),
        ('{"id": "p", "isOpen": "perhaps"}', "isOpen"),
        ('{"id": "p", "labels": "a"}', "labels"),
        ('{"id": "p", "labels": [1]}', "labels"),
        ('{"id": "p", "labels": ["a\\u0000"]}', "labels"),
        ('{"id": "p\\u0000"}', "id"),
        ('{"id": "p", "boxes": {}}', "boxes"),
        ('{"id": "p", "sentAt": "yesterday"}', "sentAt"),
        ('{"id": "p", "sentAt": 5}', "sentAt"),
        ('{"id": "p", "extras": []}', "extras"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name(body: str, names: str) -> None:
    with pytest.raises(BadField, match=f"field '{names}'"):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '"x"',
        "1",
        "null",
        "{",
        '{"id": "p",}',
        '{"id": NaN}',
        b'{"id": "\xff"}',
        '{"id": "\\ud800"}',
        b"\x00",
        "[" * 5000,
    ],
)
def test_what_is_no_json_object_is_refused(body: str | bytes) -> None:
    with pytest.raises((InvalidJson, BadField)):
        read(body)


@given(st.binary(max_size=60) | st.text('{}[]":,idboxe1 null', max_size=60))
def test_any_bytes_are_a_message_or_refused(body: bytes | str) -> None:
    try:
        read(body)
    except (InvalidJson, BadField):
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["id", *(name for name in fields_of(Parcel))]), JSON))
def test_any_json_in_any_field_is_a_message_or_refused(body: dict[str, Any]) -> None:
    try:
        read(json.dumps(body))
    except (InvalidJson, BadField):
        return


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("boxCount", "5", ("box_count", 5)),
        ("id", "a/b %", ("parcel_id", "a/b %")),
        ("is_open", "true", ("is_open", True)),
        ("colour", "COLOUR_BLUE", ("colour", Colour.BLUE)),
        ("colour", "", None),
        ("colours", "blue,DARK_RED,", ("colours", [Colour.BLUE, Colour.DARK_RED])),
        ("labels", "a,b", ("labels", ["a", "b"])),
        ("sentAt", "2026-01-31T12:00:00Z", ("sent_at", datetime(2026, 1, 31, 12, tzinfo=UTC))),
        ("unknown", "5", None),
    ],
)
def test_a_field_from_a_query_or_a_header(name: str, text: str, expected: Any) -> None:
    assert reader(Parcel).field_from_text(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [("boxCount", "-1"), ("boxCount", "x"), ("totalG", "9" * 30), ("id", "a\0b"), ("colour", "green"), ("sentAt", "")],
)
def test_a_bad_text_for_a_field_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(BadField, match=name):
        reader(Parcel).field_from_text(name, text)


# Writing


def test_answers_have_the_spelling_that_is_asked_for() -> None:
    parcel = Parcel(parcel_id="p", first_box=Box(box_id="b"))
    snake, camel_case = written(parcel), written(parcel, "camel")

    assert (snake["parcel_id"], snake["first_box"]["box_id"]) == ("p", "b")
    assert (camel_case["parcelId"], camel_case["firstBox"]["boxId"]) == ("p", "b")
    assert "parcelId" not in snake
    assert "parcel_id" not in camel_case
    assert written(parcel, "both") == {**snake, **camel_case, **{
        key: {"box_id": "b", "boxId": "b", "weight_g": 0, "weightG": 0} for key in ("first_box", "firstBox")
    }}  # fmt: skip


def test_what_is_none_is_left_out_and_zeros_and_empty_lists_are_sent() -> None:
    assert written(Parcel(parcel_id="p")) == {
        "parcel_id": "p",
        "box_count": 0,
        "total_g": 0,
        "rate": 0.0,
        "is_open": False,
        "colours": [],
        "data": None,
        "boxes": [],
        "labels": [],
        "extras": {},
    }


def test_what_leaves_out_its_defaults_is_written_like_other_messages() -> None:
    class Note(Message, kw_only=True, omit_defaults=True):
        note_id: str
        text: str | None = None
        sizes: list[int] | None = None

    class Counted(Message, kw_only=True, omit_defaults=True):
        note: Note
        count: int = 0

    class Notes(Message, kw_only=True):
        notes: list[Note]
        counted: list[Counted]

    notes = Notes(
        notes=[Note(note_id="a"), Note(note_id="", text="", sizes=[])], counted=[Counted(note=Note(note_id="b"))]
    )

    assert written(notes) == {
        "notes": [{"note_id": "a"}, {"note_id": "", "text": "", "sizes": []}],
        "counted": [{"note": {"note_id": "b"}, "count": 0}],
    }
    assert written(notes, "camel") == {
        "notes": [{"noteId": "a"}, {"noteId": "", "text": "", "sizes": []}],
        "counted": [{"note": {"noteId": "b"}, "count": 0}],
    }


def test_int64_is_a_text_on_rpc_and_a_number_on_rest_also_in_nested_messages() -> None:
    parcel = Parcel(parcel_id="p", total_g=2**63 - 1, boxes=[Box(box_id="b", weight_g=5)])

    assert (written(parcel)["total_g"], written(parcel)["boxes"][0]["weight_g"]) == (2**63 - 1, 5)
    rpc = written(parcel, "camel", rpc=True)
    assert (rpc["totalG"], rpc["boxes"][0]["weightG"]) == ("9223372036854775807", "5")


def test_enums_are_sent_by_their_protobuf_names() -> None:
    parcel = written(Parcel(parcel_id="p", colour=Colour.DARK_RED, colours=[Colour.BLUE]))

    assert (parcel["colour"], parcel["colours"]) == ("COLOUR_DARK_RED", ["COLOUR_BLUE"])


def test_a_timestamp_is_sent_in_utc_with_a_z() -> None:
    parcel = Parcel(parcel_id="p", sent_at=datetime(2026, 1, 31, 12, 0, 0, 123_000, tzinfo=UTC))

    assert written(parcel)["sent_at"] == "2026-01-31T12:00:00.123000Z"


@pytest.mark.parametrize(
    ("payload", "twins"), [('{"a":1}', False), (' {"a":1}', False), ("[1]", True), ('"x"', True), ("null", True)]
)
def test_a_payload_that_is_no_object_is_sent_under_both_of_its_names_on_rpc(payload: str, twins: bool) -> None:
    parcel = Parcel(parcel_id="p", data=msgspec.Raw(payload.encode()))
    rpc, rest = written(parcel, "camel", rpc=True), written(parcel, "camel")

    assert ("dataValue" in rpc) is twins
    assert rpc["data"] == rpc.get("dataValue", rpc["data"]) == json.loads(payload)
    assert "dataValue" not in rest


@pytest.mark.parametrize(("payload", "key"), [('{"a":1}', "data"), ("[1]", "dataValue"), ("null", "dataValue")])
def test_for_generated_readers_a_payload_has_one_name(payload: str, key: str) -> None:
    parcel = Parcel(parcel_id="p", data=msgspec.Raw(payload.encode()))
    sent = written(parcel, "camel", rpc=True, twins="value")

    assert {name: sent[name] for name in ("data", "dataValue") if name in sent} == {key: json.loads(payload)}


def test_a_field_of_one_wire_is_not_sent_on_the_other() -> None:
    parcel = Parcel(parcel_id="p", rest_only="r", rpc_only="c")

    assert ("rest_only" in written(parcel), "rpc_only" in written(parcel)) == (True, False)
    rpc = written(parcel, "camel", rpc=True)
    assert ("restOnly" in rpc, "rpcOnly" in rpc) == (False, True)


@given(
    st.builds(
        Parcel,
        parcel_id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        box_count=st.integers(0, 2**31),
        total_g=st.integers(-(2**63), 2**63 - 1),
        rate=st.floats(allow_nan=False, allow_infinity=False),
        is_open=st.booleans(),
        colour=st.none() | st.sampled_from(Colour),
        colours=st.lists(st.sampled_from(Colour), max_size=3),
        sent_at=st.none() | st.integers(0, 2**42).map(to_datetime),
        data=JSON.map(lambda value: msgspec.Raw(msgspec.json.encode(value))),
        boxes=st.lists(st.builds(Box, box_id=st.text("ab%/", max_size=3)), max_size=3),
    ),
    st.sampled_from(["snake", "camel", "both"]),
    st.booleans(),
)
def test_what_is_written_in_any_spelling_reads_as_the_same_message(parcel: Parcel, spelling: Any, rpc: bool) -> None:
    assert reader(Parcel).read(message_to_json(parcel, spelling, rpc=rpc)) == parcel
