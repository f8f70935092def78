"""Programs in Go, with fixed types and with generated code, as clients and as workers."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.wire import oracle
from tests.wire.in_process.test_binary import UNARY
from tests.wire.in_process.test_operations import a_scene
from tests.wire.sample import sample
from tests.wire.server_process import a_server

# Building takes minutes on a busy machine.
pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]
WITHIN_S = 240


@pytest.mark.parametrize("http_server", ["h2corn", "granian"])
def test_every_scenario_of_the_go_client_succeeds(go_client: Path, tmp_path: Path, http_server: str):
    with a_server(tmp_path, http_server=http_server) as server:
        done = subprocess.run(
            [go_client, "scenarios", server.address], capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        assert (done.returncode, done.stdout.count(": ok\n")) == (0, 6), done.stdout + done.stderr
        assert "Traceback" not in server.log


def decoded(go_client: Path, lines: list[str]) -> subprocess.CompletedProcess[str]:
    command = [go_client, "decode"]
    return subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )


async def test_generated_go_code_reads_the_strict_answer_of_every_method(go_client: Path, tmp_path: Path):
    lines: list[str] = []
    async with a_scene(tmp_path / "scene") as (server, scene), server.http() as client:
        for operation, rpc in UNARY:
            _, kind = oracle.requests_and_responses(rpc)
            answer = await client.post(
                f"/ironflow.v1.{rpc}", json=sample(operation, scene), headers={"connect-protocol-version": "1"}
            )
            if answer.is_success:
                lines.append(f"{kind.DESCRIPTOR.full_name}\t{json.dumps(answer.json())}")

    done = decoded(go_client, lines)

    assert len(lines) > 30
    assert (done.returncode, done.stdout) == (0, "")
