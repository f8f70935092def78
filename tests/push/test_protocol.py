"""The public types of the exchange read what the server sends, and their JSON Schemas accept it."""

from typing import Any

import jsonschema_rs
import msgspec

from ironflow.protocol import PushRequest, push_request_schema, push_response_schema
from tests.push.endpoint import an_endpoint, completed, step, until
from tests.support.work import Work, text_of


async def test_requests_and_answers_fit_their_types_and_schemas(server: Work):
    answers: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        sleep = {"type": "sleep", "step_id": f"{request['run_id']}:nap:0", "until": text_of(server.now + 1_000)}
        first = {"status": "yielded", "steps": [step(request, "a", {"x": 1})], "yield": sleep}
        answers.append(completed([1]) if request["steps"] else first)
        return answers[-1]

    async with an_endpoint(answer) as endpoint:
        for checkpoints in (False, True):
            await server.a_function(endpoint_url=endpoint.url, push_checkpoints=checkpoints)
            (run_id,) = (await server.emit(data={"a": 1}, metadata={"b": 2})).run_ids
            await until(server, run_id, "paused", "waiting")
            server.move(1_000)
            await server.loops()
            await until(server, run_id, "completed")

    request_schema = jsonschema_rs.validator_for(push_request_schema())
    for _, body in endpoint.raw:
        request_schema.validate(msgspec.json.decode(body))
        read = msgspec.json.decode(body, type=PushRequest)
        assert msgspec.json.encode(read) == body
    response_schema = jsonschema_rs.validator_for(push_response_schema())
    for each in answers:
        response_schema.validate(each)
    assert len(endpoint.raw) == 4
