"""A handler written from protocol/rest.md 6 alone, without our SDK: a saga with a sleep and a wait.

It knows what that page says: POST with run_id, function_id, attempt, event, steps; it answers completed, yielded or
failed.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from tests.push.endpoint import an_endpoint, until
from tests.support.server import open_server
from tests.support.work import Work

KEY = "whsec_test_key"


class Wait(Exception):
    """The run waits; what the answer's `yield` is."""

    def __init__(self, reason: dict[str, Any]) -> None:
        super().__init__()
        self.reason = reason


class Saga:
    """One execution: the steps that were sent are known, the others are run and sent back."""

    def __init__(self, request: dict[str, Any], effects: list[str], now: datetime) -> None:
        self.run_id, self.now, self.effects = request["run_id"], now, effects
        self.known = {step["id"]: step for step in request["steps"] or []}
        self.made: list[dict[str, Any]] = []
        self.undo: list[tuple[str, str]] = []

    def run(self, name: str, effect: str, undo: str = "") -> Any:
        step_id = f"{self.run_id}:{name}:0"
        if step_id not in self.known:
            self.effects.append(effect)
            step = {"id": step_id, "name": name, "type": "invoke", "status": "completed", "output": effect}
            self.made.append(step)
        if undo:
            self.undo.append((name, undo))
        return self.known.get(step_id, {"output": effect})["output"]

    def sleep(self, name: str, span: timedelta) -> None:
        step_id = f"{self.run_id}:{name}:0"
        if step_id not in self.known:
            wake = (self.now + span).isoformat().replace("+00:00", "Z")
            raise Wait({"type": "sleep", "step_id": step_id, "until": wake})

    def wait(self, name: str, event: str, match: str) -> dict[str, Any]:
        step_id = f"{self.run_id}:{name}:0"
        if step_id not in self.known:
            wanted = {"event": event, "match": match, "timeout": "1d"}
            raise Wait({"type": "wait_for_event", "step_id": step_id, "event_filter": wanted})
        return self.known[step_id]["output"]

    def compensate(self) -> None:
        for name, effect in reversed(self.undo):
            self.effects.append(effect)
            self.made.append(
                {
                    "id": f"{self.run_id}:compensate:{name}:0",
                    "name": f"compensate:{name}",
                    "type": "compensate",
                    "status": "completed",
                    "output": effect,
                    "compensation_for": name,
                }
            )


def book(saga: Saga) -> Any:
    saga.run("flight", "booked flight", undo="cancelled flight")
    saga.sleep("cool off", timedelta(hours=1))
    saga.run("hotel", "booked hotel", undo="cancelled hotel")
    answer = saga.wait("approval", "trip.approved", "data.trip")
    if not answer["data"]["ok"]:
        raise ValueError("not approved")
    return saga.run("pay", "paid")


def handler(effects: list[str], server: dict[str, Any]):
    def answer(request: dict[str, Any]) -> Any:
        saga = Saga(request, effects, datetime.fromtimestamp(server["server"].now / 1000, UTC))
        try:
            result = book(saga)
        except Wait as wait:
            return {"status": "yielded", "steps": saga.made, "yield": wait.reason}
        except ValueError as fault:
            saga.compensate()
            error = {"message": str(fault), "code": "NOT_APPROVED", "retryable": False}
            return {"status": "failed", "steps": saga.made, "error": error}
        return {"status": "completed", "steps": saga.made, "result": result}

    return answer


def is_genuine(headers: dict[str, str], body: bytes) -> bool:
    """The older of the two variants: `sha256=` and the body's HMAC, up to the first comma."""
    wanted = "sha256=" + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    given = headers.get("X-Ironflow-Signature", "").split(",")[0]
    # Some endpoints sign what they parsed and wrote again.
    rewritten = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
    return hmac.compare_digest(wanted, given) and rewritten == body


@pytest.mark.parametrize("approved", [True, False])
async def test_a_saga_with_a_sleep_and_a_wait(database_url: str, approved: bool):
    effects: list[str] = []
    inside: dict[str, Any] = {}
    async with (
        an_endpoint(handler(effects, inside)) as endpoint,
        open_server(Work, database_url, signing_key=KEY) as server,
    ):
        inside["server"] = server
        await server.a_function("book", on="trip.wanted", endpoint_url=endpoint.url)
        (run_id,) = (await server.emit("trip.wanted", {"trip": "t1", "to": "Köln"})).run_ids
        await until(server, run_id, "paused", "waiting")
        server.move(3_600_000)
        await server.loops()
        while "booked hotel" not in effects:
            await until(server, run_id, "paused", "waiting", "running", "pending")
        await until(server, run_id, "paused", "waiting")
        await server.emit("trip.approved", {"trip": "t2", "ok": True})
        await server.emit("trip.approved", {"trip": "t1", "ok": approved})

        run = await until(server, run_id, "completed", "failed")

        steps = [(each.name, each.status.value) for each in await server.steps(run_id)]
    assert all(is_genuine(headers, body) for headers, body in endpoint.raw)
    before = [("flight", "completed"), ("cool off", "completed"), ("hotel", "completed"), ("approval", "completed")]
    if approved:
        assert (run.status.value, bytes(run.output or b"")) == ("completed", b'"paid"')
        assert effects == ["booked flight", "booked hotel", "paid"]
        assert steps == [*before, ("pay", "completed")]
    else:
        assert (run.status.value, run.error and run.error.code) == ("failed", "NOT_APPROVED")
        assert effects == ["booked flight", "booked hotel", "cancelled hotel", "cancelled flight"]
        undone = [("compensate:hotel", "completed"), ("compensate:flight", "completed")]
        assert steps == [*before, *undone]


async def test_an_answer_of_a_web_server_that_is_no_handler_is_no_answer(server: Work):
    async with an_endpoint(lambda _: web.Response(text="hello")) as endpoint:
        await server.a_function(endpoint_url=endpoint.url, retry={"maxAttempts": 1})
        run = await until(server, (await server.emit()).run_ids[0], "failed")
        assert run.error is not None
        assert run.error.code == "PUSH_ANSWER_INVALID"
