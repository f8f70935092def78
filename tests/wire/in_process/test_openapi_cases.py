"""Requests made from the OpenAPI document, sound and unsound: each answer has a documented status and fits its schema.

IRONFLOW_OPENAPI_CASES: requests for each route, half of them unsound; 8 unless it is set, and a fifth of that on
PostgreSQL. IRONFLOW_OPENAPI_SEED: which ones.
"""

import os
import random
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema_rs
import msgspec

from ironflow.base.operation import Operation
from ironflow.transports.openapi import document
from tests.structure.contracts import all_operations
from tests.support.asgi import ask
from tests.support.work import Work
from tests.wire.in_process.test_rubbish import a_scene, works_as_before
from tests.wire.sample import sample

CASES = int(os.environ.get("IRONFLOW_OPENAPI_CASES", "8"))
SEED = int(os.environ.get("IRONFLOW_OPENAPI_SEED", "13"))
TEXTS = ["", "a", "order.placed", "x" * 40, "ü", "a b", "1", "true", "*", "2026-01-01T00:00:00Z", "10m", "{}"]
NUMBERS = [0, 1, 2, 10, 100, 1_000, -1, 2**31, 2**53]
VALUES = [None, True, 0, 1.5, "text", [], {}, {"a": [1]}]
# A value of another type than any schema names.
UNSOUND = [None, True, -1, 1.5, "rubbish", [], [None], {}, {"a": 1}, "x" * 3_000]
DEPTH_MAX = 4
NOT_PATIENT = {"wait": 0, "timeout_ms": 1}


class Cases:
    """Values that fit schemas of the document. chance: makes every choice."""

    def __init__(self, components: Mapping[str, Any], chance: random.Random) -> None:
        self._components = components
        self._chance = chance

    def value(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        if (reference := schema.get("$ref")) is not None:
            return self.value(self._components[reference.rpartition("/")[2]], depth)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self.value(self._chance.choice(schema[several]), depth)
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        match self._chance.choice(kind) if isinstance(kind, list) else kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                length = 0 if depth >= DEPTH_MAX else self._chance.randrange(schema.get("minItems", 0), 3)
                return [self.value(schema.get("items", {}), depth + 1) for _ in range(length)]
            case "string":
                fitting = [each for each in TEXTS if schema.get("minLength", 0) <= len(each)]
                return "2026-01-01T00:00:00Z" if schema.get("format") == "date-time" else self._chance.choice(fitting)
            case "integer":
                low, high = schema.get("minimum", NUMBERS[0]), schema.get("maximum", 2**53)
                return self._chance.choice([each for each in NUMBERS if low <= each <= high] or [low])
            case "number":
                return self._chance.choice([0.0, 0.5, 1.0, 10.0])
            case "boolean":
                return self._chance.random() < 0.5
            case "null":
                return None
            case _:
                return self._chance.choice(VALUES)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        made = {
            name: self.value(kind, depth + 1)
            for name, kind in schema.get("properties", {}).items()
            if name in required or (depth < DEPTH_MAX and self._chance.random() < 0.4)
        }
        if not schema.get("properties") and isinstance(more := schema.get("additionalProperties"), dict):
            made["key"] = self.value(more, depth + 1)
        return made


class Documented:
    """The document, and whether answers fit it."""

    def __init__(self) -> None:
        self.operations: dict[str, Operation[Any, Any]] = {each.name: each for each in all_operations()}
        self.document = msgspec.json.decode(msgspec.json.encode(document(self.operations.values())))
        self.components = self.document["components"]["schemas"]
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def fault(self, described: Mapping[str, Any], status: int, body: bytes) -> str:
        """What of an answer is not documented; empty for nothing."""
        responses = described["responses"]
        answer = responses.get(str(status), responses["default"] if 400 <= status < 500 else None)
        if answer is None:
            return f"status {status} is not documented: {body[:300]!r}"
        content = answer.get("content", {})
        if not content:
            return f"a body with {status}: {body[:100]!r}" if body else ""
        if "application/json" not in content:
            return ""
        schema = content["application/json"]["schema"]
        key = msgspec.json.encode(schema).decode()
        if key not in self._validators:
            self._validators[key] = jsonschema_rs.validator_for({**schema, "components": self.document["components"]})
        for fault in self._validators[key].iter_errors(msgspec.json.decode(body)):
            return f"status {status}, at {list(fault.instance_path)}: {fault.message[:300]}"
        return ""


class Requests:
    """Requests for one route of the document."""

    def __init__(self, path: str, described: Mapping[str, Any], cases: Cases, chance: random.Random):
        self._path, self._described = path, described
        self._cases, self._chance = cases, chance

    def request(self, sound: Mapping[str, Any], *, spoiled: bool) -> tuple[str, bytes]:
        """Target and body. sound: values with which the request succeeds, taken more often than not."""
        query: dict[str, str] = {}
        path = self._path
        for parameter in self._described["parameters"]:
            name = parameter["name"]
            value = self._value(name, parameter["schema"], sound)
            if parameter["in"] == "path":
                text = str(value if value not in ("", None) else "x")
                path = path.replace("{" + name + "}", quote(self._spoil(text, spoiled), safe=""))
            elif parameter["in"] == "query" and name not in NOT_PATIENT and self._chance.random() < 0.4:
                query[name] = self._spoil(value if isinstance(value, str) else _text(value), spoiled)
        body = self._body(sound, spoiled=spoiled)
        return (f"{path}?{urlencode(query)}" if query else path), body

    def _body(self, sound: Mapping[str, Any], *, spoiled: bool) -> bytes:
        content = self._described.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            return b"bytes" if content else b""
        made = self._cases.value(content["application/json"]["schema"])
        if isinstance(made, dict):
            for name in made:
                if name in sound and self._chance.random() < 0.7:
                    made[name] = sound[name]
            if spoiled and made:
                made[self._chance.choice([*made])] = self._chance.choice(UNSOUND)
            # Nothing waits, whatever else is asked.
            made |= NOT_PATIENT
        return msgspec.json.encode(made)

    def _value(self, name: str, schema: Mapping[str, Any], sound: Mapping[str, Any]) -> Any:
        if name in sound and self._chance.random() < 0.7:
            return sound[name]
        return self._cases.value(schema)

    def _spoil(self, text: str, spoiled: bool) -> str:
        return self._chance.choice(["", "-1", "rubbish", "\0", "x" * 3_000]) if spoiled else text


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def test_every_answer_is_documented_and_fits_its_schema(server: Work, database_url: str):
    chance = random.Random(SEED)
    documented = Documented()
    cases = Cases(documented.components, chance)
    scene = await a_scene(server)
    count = CASES if database_url.startswith("sqlite") or "://" not in database_url else max(CASES // 5, 2)
    faults: dict[str, str] = {}
    statuses: set[int] = set()
    asked = 0
    for path, routes in documented.document["paths"].items():
        for method, described in routes.items():
            operation = documented.operations[re.sub(r"\.\d+$", "", described["operationId"])]
            if operation.streaming != "unary":
                continue
            sound = sample(operation, scene)
            requests = Requests(path, described, cases, chance)
            for number in range(count):
                target, body = requests.request(sound, spoiled=bool(number % 2))
                answer = await ask(server.inside.app, method.upper(), target, body)
                asked += 1
                statuses.add(answer.status)
                fault = documented.fault(described, answer.status, answer.body)
                if fault:
                    faults.setdefault(f"{described['operationId']}: {fault}", f"{method} {target} {body[:300]!r}")

    assert not faults, "\n".join(f"{fault}\n    {request}" for fault, request in faults.items())
    assert asked > 300
    assert statuses >= {200, 201, 204, 400, 404, 409}
    await works_as_before(server)
