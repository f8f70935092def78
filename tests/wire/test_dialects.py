"""The two dialects of Connect JSON: strict answers equal those of Google's own writer; others stay as they are."""

import base64
import json
from pathlib import Path
from typing import Any, get_origin

import grpc
import httpx
import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.fields import bare_type, fields_of
from ironflow.base.operation import Operation
from ironflow.base.spelling import BadField, reader
from ironflow.features.runs import contract as runs
from ironflow.transports.connect_codecs import Codecs, dialect_of
from ironflow.transports.protobuf.json_writing import json_writer
from ironflow.transports.protobuf.reading import message_reader
from ironflow.transports.protobuf.writing import message_writer
from tests.support.server import open_server
from tests.support.work import Work
from tests.wire import oracle
from tests.wire.in_process.test_binary import PAIRS, SCHEMA, UNARY, a_run, drawn, each_rpc, slowly
from tests.wire.in_process.test_operations import a_scene
from tests.wire.sample import camel_keys, sample
from tests.wire.server_process import Server

WAITING = "RUN_STATUS_WAITING_FOR_CAPACITY"
RPC = "/ironflow.v1.IronflowService"
STRICT = {"connect-protocol-version": "1"}
GO = {"user-agent": "Go-http-client/1.1"}


@pytest.mark.parametrize("name", [name for name, (place, _) in PAIRS.items() if " answer" in place])
@slowly
@given(data=st.data())
def test_a_strict_answer_equals_that_of_googles_writer(name: str, data: st.DataObject):
    _, pair = PAIRS[name]
    sent = drawn(data, pair)
    descriptor = f"ironflow.v1.{pair.descriptor}"
    try:
        message = message_reader(SCHEMA, descriptor, pair.message).read(sent.SerializeToString())
    except BadField:
        # The contract requires more, or has limits; another example has better luck.
        return

    ours = json_writer(SCHEMA, descriptor, pair.message).write(message)

    # What the contract knows of the message, as binary: proven against Google in test_binary.
    known = type(sent).FromString(message_writer(SCHEMA, descriptor, pair.message).write(message))
    assert json.loads(ours) == json.loads(json_format.MessageToJson(known))
    # A generated reader takes it, and refuses what it does not know.
    assert json_format.Parse(ours, type(sent)()) == known


@pytest.mark.parametrize("name", [name for name, (place, _) in PAIRS.items() if " request" in place])
@slowly
@given(data=st.data())
def test_a_request_of_googles_writer_reads_as_in_binary(name: str, data: st.DataObject):
    _, pair = PAIRS[name]
    sent = drawn(data, pair)
    declared = fields_of(pair.message)
    zeros = {name: 0 for name, field in declared.items() if field.absent_is_zero}
    text = json.dumps(zeros | json.loads(json_format.MessageToJson(sent)))
    in_bytes = {name for name, field in declared.items() if field.json_in_bytes}

    def read(work: Any) -> Any:
        try:
            return msgspec.json.decode(msgspec.json.encode(work()))
        except BadField as refused:
            return refused.code

    binary = message_reader(SCHEMA, f"ironflow.v1.{pair.descriptor}", pair.message)
    ours, googles = (
        read(lambda: binary.read(sent.SerializeToString())),
        read(lambda: reader(pair.message).read(text.encode())),
    )
    if in_bytes and isinstance(googles, dict):
        # The service decides whether a text is JSON or base64 of it.
        ours, googles = ({k: v for k, v in each.items() if k not in in_bytes} for each in (ours, googles))
    # Where items are read later, both are as they were sent.
    assert camel_keys(googles) == camel_keys(ours)


@each_rpc
async def test_every_method_answers_in_both_dialects_what_it_answers_in_binary(
    operation: Operation[Any, Any], rpc: str, tmp_path: Path
):
    _, kind = oracle.requests_and_responses(rpc)
    path = f"/ironflow.v1.{rpc}"

    async def answer(folder: str, headers: dict[str, str]) -> httpx.Response:
        async with a_scene(tmp_path / folder) as (server, scene), server.http() as client:
            return await client.post(path, json=sample(operation, scene), headers=headers)

    strict, javascript = await answer("strict", STRICT), await answer("javascript", {})
    assert strict.status_code == javascript.status_code
    if not strict.is_success:
        assert strict.json() == javascript.json()
        return
    read = json_format.Parse(strict.content, kind())
    assert json.loads(json_format.MessageToJson(read)) == strict.json()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":1,"a":2}', {"input": {"a": 2}}),
        (b"[1,2]", {"inputValue": [1, 2]}),
        (b"null", {"inputValue": None}),
        (b'{"n":1%s}' % (b"0" * 400), {"input": {"n": 1.7976931348623157e308}}),
        (
            b'{"n":-1%s,"x":[true,"1%s"]}' % (b"0" * 400, b"0" * 400),
            {"input": {"n": -1.7976931348623157e308, "x": [True, "1" + "0" * 400]}},
        ),
    ],
)
def test_a_strict_payload_is_one_that_generated_readers_take(payload: bytes, expected: dict[str, Any]):
    written = json_writer(SCHEMA, "ironflow.v1.Run", runs.Run).write(a_run(input=msgspec.Raw(payload)))
    read: Any = json_format.Parse(written, oracle.kind("Run")())
    assert {name: value for name, value in json.loads(written).items() if name.startswith("input")} == expected
    assert read.HasField("input" if "input" in expected else "input_value")


def test_one_function_decides_the_dialect():
    for headers, dialect in (
        ({}, "javascript"),
        ({"user-agent": "node"}, "javascript"),
        ({"user-agent": "Go-http-client/1.1"}, "go"),
        ({"user-agent": "Go-http-client/2.0", "connect-protocol-version": "1"}, "strict"),
        ({"user-agent": "connect-go/1.18 (go1.24)", "connect-protocol-version": "1"}, "strict"),
    ):
        assert dialect_of(headers) == dialect, headers


async def test_a_run_by_dialect(tmp_path: Path):
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server, server.http() as client:
        run = await server.a_run()
        for headers, status in (
            ({}, "pending"),
            (STRICT, WAITING),
            (GO, WAITING),
        ):
            answer = (await client.post(f"{RPC}/GetRun", json={"id": run.id}, headers=headers)).json()
            assert answer["status"] == status, headers
            assert ("pauseRequested" in answer) is (not headers), headers


async def test_older_go_clients_read_two_answers_otherwise():
    codecs = Codecs()
    operations = {rpc: operation for operation, rpc in UNARY}
    answers: dict[tuple[str, str], Any] = {}
    for rpc in ("AuditService/GetAuditTrail", "ProjectionService/WaitProjectionCatchup"):
        operation = operations[rpc]
        assert operation.response is not None
        kinds: dict[Any, Any] = {str: "x", int: 7, bool: True, list: []}
        hints = {each.name: bare_type(each.type) for each in msgspec.structs.fields(operation.response)}
        hints = {name: get_origin(kind) or kind for name, kind in hints.items()}
        message = operation.response(**{name: kinds[kind] for name, kind in hints.items() if kind in kinds})
        for dialect in ("strict", "go"):
            codec = codecs.find(operation, rpc, "json", dialect)
            assert codec is not None
            answers[rpc, dialect] = json.loads(codec.write(message))
    assert "totalCount" in answers["AuditService/GetAuditTrail", "strict"]
    assert "total_count" in answers["AuditService/GetAuditTrail", "go"]
    assert answers["ProjectionService/WaitProjectionCatchup", "strict"]["currentSeq"] == "7"
    assert answers["ProjectionService/WaitProjectionCatchup", "go"]["currentSeq"] == 7


async def test_what_no_client_of_version_1_sends_is_refused(tmp_path: Path):
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server, server.http() as client:
        answer = await client.post(f"{RPC}/ListRuns", json={}, headers={"connect-protocol-version": "2"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
        answer = await client.post(f"{RPC}/ListRuns", content=b"{}", headers={"content-type": "application/nonsense"})
        assert (answer.status_code, answer.json()["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_method_that_only_reads_is_called_with_get(tmp_path: Path):
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server, server.http() as client:
        run = await server.a_run()
        text = json.dumps({"id": run.id})
        packed = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        proto = base64.urlsafe_b64encode(oracle.made(oracle.kind("GetRunRequest"), {"id": run.id}).SerializeToString())
        for query, status in (
            ({"encoding": "json", "message": text}, "pending"),
            ({"encoding": "json", "message": text, "connect": "v1"}, WAITING),
            (
                {"encoding": "json", "message": packed, "base64": "1", "connect": "v1"},
                "RUN_STATUS_WAITING_FOR_CAPACITY",
            ),
        ):
            answer = await client.get(f"{RPC}/GetRun", params=query)
            assert (answer.status_code, answer.json()["status"]) == (200, status), query
        answer = await client.get(
            f"{RPC}/GetRun", params={"encoding": "proto", "message": proto.decode(), "base64": "1"}
        )
        assert oracle.kind("Run").FromString(answer.content).id == run.id  # type: ignore[attr-defined]

        for path, query, status in (
            ("Trigger", {"message": text}, 405),
            ("GetRun", {"message": text, "connect": "v2"}, 400),
            ("GetRun", {"message": text, "encoding": "xml"}, 415),
            ("GetRun", {"message": "%", "base64": "1"}, 400),
            ("GetRun", {"message": text, "compression": "br"}, 501),
        ):
            answer = await client.get(f"{RPC}/{path}", params=query)
            assert answer.status_code == status, (path, query, answer.text)


@pytest.mark.processes
@pytest.mark.parametrize("streams", [False, True])
def test_grpc_is_refused_in_its_own_form(server: Server, streams: bool):
    host, port = server.host_and_port

    def call(channel: grpc.Channel) -> None:
        if streams:
            list(channel.stream_stream("/ironflow.v1.WorkerService/Connect")(iter([b"x"]), timeout=20))
        else:
            channel.unary_unary("/ironflow.v1.IronflowService/ListRuns")(b"", timeout=20)

    with grpc.insecure_channel(f"{host}:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
        call(channel)
    fault: Any = refused.value
    assert (fault.code(), "Connect protocol" in fault.details()) == (grpc.StatusCode.UNIMPLEMENTED, True)


async def test_a_mask_is_taken_in_both_forms(tmp_path: Path):
    path = "/ironflow.v1.PubSubService"
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server, server.http() as client:
        group = {"name": "g", "pattern": "events:a"}
        assert (await client.post(f"{path}/CreateConsumerGroup", json=group)).is_success
        for mask in ({"paths": ["max_inflight"]}, "maxInflight", {"paths": []}):
            body = {"group": {"name": "g", "maxInflight": 7}, "update_mask": mask}
            answer = await client.post(f"{path}/UpdateConsumerGroup", json=body)
            assert (answer.status_code, answer.json()["maxInflight"]) == (200, 7), answer.text
        for mask in (7, {"paths": "x"}, {"paths": [1]}):
            body = {"group": {"name": "g"}, "update_mask": mask}
            assert (await client.post(f"{path}/UpdateConsumerGroup", json=body)).status_code == 400
