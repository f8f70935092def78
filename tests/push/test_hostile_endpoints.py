"""What endpoints do wrong: each is a failure of the attempt with a clear error, and disturbs nothing else."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from ironflow.base.outgoing import AnswerTooLarge, Outgoing
from ironflow.features.push import rules
from ironflow.features.runs import contract as runs
from tests.push.endpoint import an_endpoint, completed, eventually, step, until
from tests.support.server import open_server
from tests.support.work import Work

BUDGET_MS = 300


async def hang(_: Any) -> Any:
    await asyncio.sleep(60)


def drip(_: Any) -> web.Response:
    """Sends a byte now and then, and never ends: each byte is in time, the whole is not."""

    async def bytes_of() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(BUDGET_MS / 10_000)

    return web.Response(body=bytes_of(), headers={"Content-Type": "application/json"})


def raw(body: bytes, status: int = 200, **headers: str) -> Callable[[Any], web.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.Response(body=body, status=status, headers={"Content-Type": "application/json", **named})


def refusal(status: int, code: str) -> Callable[[Any], web.Response]:
    return raw(b'{"error":{"message":"no","code":"%s"}}' % code.encode(), status)


CASES: list[tuple[str, Callable[[Any], Any], str, bool, str]] = [
    ("hangs", hang, "PUSH_TIMEOUT", True, "did not answer within 0.3 s"),
    ("sends byte by byte", drip, "PUSH_TIMEOUT", True, "did not answer within 0.3 s"),
    ("rubbish", raw(b"<html>hello</html>"), "PUSH_ANSWER_INVALID", True, "cannot be understood"),
    ("empty", raw(b""), "PUSH_ANSWER_INVALID", True, "cannot be understood"),
    ("a list", raw(b"[]"), "PUSH_ANSWER_INVALID", True, "cannot be understood"),
    ("wrong type", raw(b'{"status":"completed","steps":{}}'), "PUSH_ANSWER_INVALID", True, "steps"),
    ("no status", raw(b'{"steps":[]}'), "PUSH_ANSWER_INVALID", True, "status"),
    ("unknown status", raw(b'{"status":"done","steps":[]}'), "PUSH_ANSWER_INVALID", True, "'done'"),
    ("yields nothing", raw(b'{"status":"yielded","steps":[]}'), "PUSH_ANSWER_INVALID", True, "no `yield`"),
    ("deep JSON", raw(b'{"status":' + b"[" * 100_000), "PUSH_ANSWER_INVALID", True, "cannot be understood"),
    ("not UTF-8", raw(b'{"status":"\xff"}'), "PUSH_ANSWER_INVALID", True, "cannot be understood"),
    ("gzip", raw(b"\x1f\x8b00000", Content_Encoding="gzip"), "PUSH_ANSWER_INVALID", True, "cannot be understood"),
    ("too large", raw(b"x" * 5_000_000), "PUSH_ANSWER_TOO_LARGE", True, "larger than 4194304 bytes"),
    ("204", raw(b"", 204), "PUSH_REFUSED", True, "204 instead of 200"),
    ("301", raw(b"", 301, Location="http://127.0.0.1:1/"), "PUSH_REFUSED", True, "redirects are not followed"),
    ("307", raw(b"", 307, Location="http://169.254.169.254/"), "PUSH_REFUSED", True, "redirects are not followed"),
    ("500", raw(b"oh no", 500), "PUSH_REFUSED", True, "answered 500."),
    ("401", refusal(401, "SIGNATURE_INVALID"), "PUSH_REFUSED", True, "401 SIGNATURE_INVALID: no."),
    ("404", refusal(404, "FUNCTION_NOT_FOUND"), "PUSH_REFUSED", True, "404 FUNCTION_NOT_FOUND: no."),
    ("405", refusal(405, "METHOD_NOT_ALLOWED"), "PUSH_REFUSED", True, "405 METHOD_NOT_ALLOWED"),
    ("400", refusal(400, "VALIDATION_ERROR"), "PUSH_REFUSED", False, "400 VALIDATION_ERROR: no."),
    (
        "another run's answer",
        lambda _: completed(1, step({"run_id": "run_other"}, "charge")),
        "PUSH_ANSWER_INVALID",
        True,
        "'run_other:charge:0', not one of run",
    ),
    (
        "another execution's answer",
        lambda _: {**completed(1), "job_id": "job_other_1"},
        "PUSH_ANSWER_INVALID",
        True,
        "execution 'job_other_1' instead of",
    ),
]


async def failed_run(server: Work, url: str, budget_ms: int = 30_000) -> runs.Run:
    """The run of an only attempt at the endpoint."""
    await server.a_function(endpoint_url=url, retry={"maxAttempts": 1}, push_budget_ms=budget_ms)
    (run_id,) = (await server.emit()).run_ids
    return await until(server, run_id, "failed", "completed")


@pytest.mark.parametrize(("name", "answer", "code", "retryable", "text"), CASES, ids=[each[0] for each in CASES])
async def test_a_wrong_answer_fails_the_attempt(
    tmp_path: Any, name: str, answer: Any, code: str, retryable: bool, text: str
):
    async with an_endpoint(answer) as endpoint, open_server(Work, str(tmp_path / "db")) as server:
        run = await failed_run(server, endpoint.url, BUDGET_MS if code == "PUSH_TIMEOUT" else 30_000)

        assert run.status.value == "failed"
        assert run.error is not None
        assert (run.error.code, run.error.retryable) == (code, retryable)
        assert text in run.error.message
        assert await server.steps(run.id) == []


async def test_of_an_answer_of_100_mb_only_the_beginning_is_read(tmp_path: Any):
    sent, part = 0, b"x" * 65_536

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000_000:
            yield part
            sent += len(part)

    async with (
        an_endpoint(lambda _: web.Response(body=parts())) as endpoint,
        open_server(Work, str(tmp_path / "db")) as server,
    ):
        run = await failed_run(server, endpoint.url)
        assert run.error is not None
        assert run.error.code == "PUSH_ANSWER_TOO_LARGE"
    # The limit of 4 MiB, and what the sockets hold.
    assert 4_000_000 < sent < 50_000_000


def many_steps(request: dict[str, Any], count: int) -> web.Response:
    """An answer of tiny steps."""
    steps = ",".join([f'{{"id":"{request["run_id"]}:s:{number}","name":"s"}}' for number in range(count)])
    return raw(f'{{"status":"completed","steps":[{steps}],"result":1}}'.encode())(request)


@pytest.mark.parametrize(
    ("count", "status", "code"),
    [(rules.ANSWER_STEPS_MAX, "completed", None), (rules.ANSWER_STEPS_MAX + 1, "failed", "PUSH_ANSWER_TOO_LARGE"),
     (70_000, "failed", "PUSH_ANSWER_TOO_LARGE")],
)  # fmt: skip
async def test_an_answer_has_a_bounded_number_of_steps(tmp_path: Any, count: int, status: str, code: str | None):
    answer = many_steps({"run_id": "run_01234567890123456789012345"}, count).body
    assert isinstance(answer, bytes)
    assert len(answer) < 4 * 1024 * 1024
    async with (
        an_endpoint(lambda request: many_steps(request, count)) as endpoint,
        open_server(Work, str(tmp_path / "db")) as server,
    ):
        run = await failed_run(server, endpoint.url)

        assert (run.status.value, run.error and run.error.code) == (status, code)
        if run.error is not None:
            assert f"has {count} steps; 10000 is the limit" in run.error.message
        assert len(await server.steps(run.id)) == (count if status == "completed" else 0)


def test_an_answer_has_a_bounded_number_of_cancels():
    listed = ",".join(['"run_1:s:0"'] * (rules.ANSWER_STEPS_MAX + 1))
    answer = Outgoing(200, {}, f'{{"status":"completed","cancels":[{listed}]}}'.encode())
    job: Any = SimpleNamespace(run_id="run_1", job_id="run_1_1")
    with pytest.raises(AnswerTooLarge, match="10001 cancels"):
        rules.decide_answer(job, answer)


async def serve_bytes(parts: list[bytes], pause_s: float = 0.0) -> asyncio.Server:
    """A socket that sends these bytes, whatever is asked, and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(100)
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except OSError:
            pass
        finally:
            writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SOCKETS: list[tuple[str, list[bytes], float, str]] = [
    ("closes at once", [b""], 0, "PUSH_FAILED"),
    ("dies in the middle", [HEAD + b"Content-Length: 100\r\n\r\n", b'{"status"'], 0, "PUSH_FAILED"),
    ("one byte a second", [HEAD + b"Content-Length: 100\r\n\r\n", *[b"x"] * 60], 1, "PUSH_TIMEOUT"),
    ("speaks something else", [b"SSH-2.0-OpenSSH_9\r\n"], 0, "PUSH_FAILED"),
    ("an endless head", [b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 4000 + b"\r\n"] * 100], 0, "PUSH_FAILED"),
    ("a wrong length", [HEAD + b"Content-Length: -1\r\n\r\n{}"], 0, "PUSH_FAILED"),
]


@pytest.mark.parametrize(("name", "parts", "pause_s", "code"), SOCKETS, ids=[each[0] for each in SOCKETS])
async def test_a_broken_connection_fails_the_attempt(
    tmp_path: Any, name: str, parts: list[bytes], pause_s: float, code: str
):
    listening = await serve_bytes(parts, pause_s)
    async with listening, open_server(Work, str(tmp_path / "db")) as server:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        run = await failed_run(server, url, BUDGET_MS if pause_s else 30_000)

        assert run.error is not None
        assert (run.error.code, run.error.retryable) == (code, True)


async def test_an_answer_twice_counts_once(tmp_path: Any):
    answer = b'{"status":"completed","steps":[],"result":1}'
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(answer) + answer
    listening = await serve_bytes([whole + whole.replace(b"1}", b"2}")])
    async with listening, open_server(Work, str(tmp_path / "db")) as server:
        run = await failed_run(server, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")

        assert (run.status.value, bytes(run.output or b"")) == ("completed", b"1")


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Resets the connection in the middle of a request."""
    await reader.read(100)
    sent: socket.socket = writer.get_extra_info("socket")
    sent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


ENDPOINTS = 500
ONCE_AND_LONG: dict[str, Any] = {"push_budget_ms": 600_000, "timeout_ms": 3_600_000, "retry": {"maxAttempts": 1}}


async def test_of_500_endpoints_a_third_is_dead_and_the_healthy_ones_wait_for_none_of_them(tmp_path: Any):
    """By the order of events: all healthy runs end while each request to an endpoint that hangs is still under way."""
    never = asyncio.Event()
    hanging, answered = 0, 0

    async def answer(request: dict[str, Any]) -> Any:
        nonlocal hanging, answered
        if request["event"]["data"]["dead"]:
            hanging += 1
            await never.wait()
        answered += 1
        return completed()

    resetting = await asyncio.start_server(reset, "127.0.0.1", 0)
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        async with an_endpoint(answer) as endpoint, resetting, open_server(Work, str(tmp_path / "db")) as server:
            others = [each.getsockname()[1] for each in (refusing, *resetting.sockets)]
            ports = [endpoint.url, *(f"http://127.0.0.1:{port}" for port in others)]
            dead = [number for number in range(ENDPOINTS) if number % 3 == 0]
            for number in range(ENDPOINTS):
                url = f"{ports[number // 3 % 3] if number % 3 == 0 else endpoint.url}/{number}"
                await server.a_function(f"f{number}", on=f"e{number}", endpoint_url=url, **ONCE_AND_LONG)
            # The dead come first, each with two executions.
            at_dead = [(await server.emit(f"e{each}", {"dead": True})).run_ids[0] for each in dead * 2]
            hang = len([each for each in dead * 2 if each // 3 % 3 == 0])
            await eventually(lambda: hanging == hang)
            for run_id, number in zip(at_dead, dead * 2, strict=True):
                if number // 3 % 3:
                    assert (await until(server, run_id, "failed")).error is not None
            healthy = [number for number in range(ENDPOINTS) if number % 3]
            emitted = [(await server.emit(f"e{each}", {"dead": False})).run_ids[0] for each in healthy]
            for run_id in emitted:
                await until(server, run_id, "completed")

            assert (answered, hanging) == (len(healthy), hang)
            left = [(await server.run(run_id)).status.value for run_id in at_dead]
            assert left == ["running" if number // 3 % 3 == 0 else "failed" for number in dead * 2]
