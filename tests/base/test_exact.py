"""A report that is spelled as our workers spell it is decoded in one step, and means the same as to the reader."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, cast

import msgspec
import pytest

from ironflow.base.errors import IronflowError
from ironflow.base.exact import exact_list_reader
from ironflow.base.fields import Message, field
from ironflow.base.json import InvalidJson
from ironflow.base.spelling import reader
from ironflow.base.time import to_millis
from ironflow.features.jobs.contract import Reports, UpdateJob

STEP = {
    "id": "run_1:reserve:0", "name": "reserve", "type": "invoke", "status": "completed", "output": {"a": [1, 2.5]},
    "started_at": "2026-11-30T20:33:55.409000Z", "ended_at": "2026-11-30T20:33:55.411000Z", "duration_ms": 2,
    "source": "worker.py:45",
}  # fmt: skip
REPORT: dict[str, Any] = {
    "job_id": "job_1", "status": "progress", "execution_seq": 1, "lease_token": "t", "steps": [STEP], "step_offset": 0,
}  # fmt: skip
YIELD = {"type": "sleep", "step_id": "nap", "until": "2026-12-01T00:00:00+01:00"}

READ_IN_ONE_STEP = [
    REPORT,
    {**REPORT, "steps": []},
    {**REPORT, "status": "completed", "output": {"text": "é \\u00e9 \ud83d\ude00", "big": 12345678901234567890}},
    {**REPORT, "status": "failed", "error": {"message": "no", "retryable": True, "details": {"x": 1}}},
    {**REPORT, "yields": [YIELD], "cancels": ["a", "b:"]},
    {**REPORT, "yield": YIELD, "status": "yielded"},
    {**REPORT, "logs": [{"number": 0, "message": "hello", "data": {"a": 1}}], "values": []},
    {**REPORT, "progress": [{"id": "s", "details": 1}], "state": {"state": [1], "number": 1}},
]
LEFT_TO_THE_READER = [
    {**REPORT, "output": None},
    {**REPORT, "jobId": "job_2"},
    {**REPORT, "stepOffset": 3},
    {**REPORT, "execution_seq": "7"},
    {**REPORT, "later": "a field of a newer worker"},
    {**REPORT, "steps": [{**STEP, "started_at": "2026-11-30T20:33:55"}]},
    {**REPORT, "steps": [{**STEP, "started_at": "0001-01-01T00:00:00+01:00"}]},
    {**REPORT, "steps": [{**STEP, "started_at": "yesterday"}]},
    # Cut off, not rounded to the next millisecond.
    {**REPORT, "steps": [{**STEP, "started_at": "2026-11-30T20:33:55.4099999Z"}]},
    {**REPORT, "yields": [{**YIELD, "until": "2026-12-01T00:00:00.999999999+01:00"}]},
    {**REPORT, "steps": [{**STEP, "name": "a\0b"}]},
    {**REPORT, "steps": [{**STEP, "id": 3}]},
    {**REPORT, "step_offset": -1},
    {**REPORT, "execution_seq": 2**63},
    {"status": "progress"},
    [],
]
INVALID = [
    # Before the year 1 and after the year 9999 in UTC, with an escaped digit.
    b'{"job_id":"j","status":"progress","steps":[{"id":"s","ended_at":"\\u0030001-01-01T00:00:00+14:00"}]}',
    b'{"job_id":"j","status":"progress","steps":[{"id":"s","ended_at":"9\\u0039\\u00399-12-31T23:59:59-14:00"}]}',
    b'{"job_id":"j","status":"completed","output":1e999}',
    b'{"job_id":"j","status":"progress","steps":[{"id":"s"},{"id":"t","output":[1e999]}]}',
    b'{"job_id":"j","status":"failed","error":{"message":"m","details":{"a":1e999}}}',
    b'{"job_id":"j","status":"yielded","yield":{"type":"wait_for_event","step_id":"w","event_filter":{"payload":1e999}}}',
    b'{"job_id":"j","status":"progress","logs":[{"number":0,"message":"m","data":{"a":1e999}}]}',
    b'{"job_id":"j","status":"completed","output":' + b"[" * 201 + b"]" * 201 + b"}",
]


def _plain(value: Any) -> Any:
    """A message without the classes of it and of those in it, and times as milliseconds, which is all that is kept."""
    match value:
        case msgspec.Struct():
            return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
        case list():
            return [_plain(each) for each in cast("list[Any]", value)]
        case msgspec.Raw():
            return bytes(value)
        case datetime():
            return to_millis(value)
        case _:
            return value


def _outcome(read: Any, text: bytes) -> Any:
    try:
        return _plain(read(msgspec.Raw(text)))
    except IronflowError as error:
        return type(error), error.message


def _exactly(read: Callable[[msgspec.Raw], Any]) -> Callable[[msgspec.Raw], Any]:
    read_all = exact_list_reader(UpdateJob, read)

    def read_one(text: msgspec.Raw) -> Any:
        (found,) = read_all(msgspec.Raw(b"[" + bytes(text) + b"]"))
        return found

    return read_one


def _refusing(text: msgspec.Raw) -> Any:
    raise AssertionError("left to the reader")


@pytest.mark.parametrize("report", READ_IN_ONE_STEP)
def test_what_is_spelled_as_declared_is_decoded_in_one_step(report: Any) -> None:
    text = json.dumps(report).encode()

    found = _exactly(_refusing)(msgspec.Raw(text))

    assert isinstance(found, UpdateJob)
    assert _plain(found) == _outcome(reader(UpdateJob).read, text)


@pytest.mark.parametrize("report", LEFT_TO_THE_READER)
def test_what_is_spelled_otherwise_is_left_to_the_reader(report: Any) -> None:
    _means_the_same(json.dumps(report).encode())


@pytest.mark.parametrize("text", INVALID, ids=lambda text: text[:60].decode())
def test_what_is_no_report_is_refused_by_the_reader(text: bytes) -> None:
    _means_the_same(text)


def _means_the_same(text: bytes) -> None:
    general = reader(UpdateJob).read
    with pytest.raises(AssertionError, match="left to the reader"):
        _exactly(_refusing)(msgspec.Raw(text))
    assert _outcome(_exactly(general), text) == _outcome(general, text)


def test_reports_are_read_so() -> None:
    body = json.dumps({"worker": "w", "reports": [REPORT, {**REPORT, "jobId": "job_2"}]}).encode()

    first, second = reader(Reports).read(body).reports

    assert (type(first) is UpdateJob, type(second) is UpdateJob) == (False, True)


def test_many_reports_are_read_so() -> None:
    body = json.dumps({"worker": "w", "reports": [REPORT] * 300}).encode()

    found = reader(Reports).read(body).reports

    assert len(found) == 300
    assert all(type(each) is not UpdateJob for each in found)


@pytest.mark.parametrize("output", ["tru", '"\\ud800"'])
def test_what_is_no_json_is_refused_among_many_reports(output: str) -> None:
    reports = [json.dumps(REPORT), '{"job_id":"j","status":"completed","output":' + output + "}"]

    with pytest.raises(InvalidJson):
        reader(Reports).read(f'{{"worker":"w","reports":[{",".join(reports)}]}}'.encode())


@pytest.mark.parametrize("deep", [201, 5000])
def test_a_payload_that_is_nested_too_deeply_is_refused_among_many_reports(deep: int) -> None:
    output = "[" * deep + "]" * deep
    reports = [json.dumps(REPORT)] * 50 + ['{"job_id":"j","status":"completed","output":' + output + "}"]

    with pytest.raises(IronflowError, match="nested"):
        reader(Reports).read(f'{{"worker":"w","reports":[{",".join(reports)}]}}'.encode())


def test_a_message_that_only_the_reader_understands_is_refused() -> None:
    class Masked(Message, kw_only=True):
        update: msgspec.Raw
        mask: Annotated[str, field(mask=True)]

    with pytest.raises(TypeError, match="reader only"):
        exact_list_reader(Masked, _refusing)
