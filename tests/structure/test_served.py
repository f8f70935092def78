"""Every method that existing clients know is served with its own path, or says plainly that it is not.

Source: tests/protocol/connectrpc.json.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ironflow.transports.connect_codecs import Codecs
from ironflow.transports.protobuf.schema import ironflow_schema
from tests.structure.test_protobuf_numbers import LEGACY, TABLE
from tests.support.server import Server, open_server

SCOPES = {
    f"{service}/{name}": method["scope"]
    for service, declared in TABLE["services"].items()
    for name, method in declared["methods"].items()
} | {path: method["scope"] for path, method in LEGACY["methods"].items()}
WANTED = {rpc for rpc, scope in SCOPES.items() if scope != "beyond"}
BEYOND = sorted(SCOPES.keys() - WANTED)
# Features that are not built yet, whole or in part. A method that is served is no longer in here.
NOT_YET: set[str] = {
    "AuditService/GetAuthAuditTrail",
    "EnvironmentService/RotateAPIKey",
    "IronflowService/GetFunctionAtVersion",
    "IronflowService/ListFunctionHistory",
    "IronflowService/RollbackFunction",
    "ProjectionService/ReportRebuildProgress",
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with open_server(Server, str(tmp_path / "ironflow.db")) as opened:
        yield opened


async def test_every_method_that_clients_need_is_served_or_known_to_be_missing(server: Server):
    served = {rpc for operation in server.inside.dispatch.operations for rpc in operation.rpc}
    assert served - set(SCOPES) == set()
    assert WANTED - served == NOT_YET


async def test_what_is_not_served_answers_unimplemented_in_every_codec(server: Server):
    async with server.http() as client:
        for rpc in [*BEYOND, *sorted(NOT_YET), "IronflowService/Nothing", "Nothing/Nothing"]:
            for kind, status in (
                ("application/json", 501),
                ("application/proto", 501),
                ("application/connect+json", 404),
                ("application/connect+proto", 404),
            ):
                answer = await client.post(f"/ironflow.v1.{rpc}", content=b"", headers={"content-type": kind})
                assert (answer.status_code, answer.json()["code"]) == (status, "unimplemented"), (rpc, kind)


def test_the_proto_files_describe_every_method_that_clients_need():
    # GetCapabilities is JSON only: no client was built from a descriptor of it.
    described = {path.removeprefix("ironflow.v1.") for path in ironflow_schema().methods}
    assert WANTED - described == {"IronflowService/GetCapabilities"}
    assert described - WANTED == set()


async def test_every_method_that_is_served_and_described_is_served_in_binary(server: Server):
    """A contract with a type that its descriptor cannot hold fails here, not at its first answer."""
    codecs = Codecs()
    for operation in server.inside.dispatch.operations:
        for rpc in operation.rpc:
            assert codecs.find(operation, rpc, "proto") is not None or rpc == "IronflowService/GetCapabilities"
