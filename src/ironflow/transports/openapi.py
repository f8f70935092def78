"""`GET /api/v1/openapi.json`: the REST surface as OpenAPI 3.1, made from the operations table."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from ironflow.base.fields import fields_of
from ironflow.base.operation import Operation, Route
from ironflow.base.version import VERSION
from ironflow.transports.http import Request, Response

_REF = "#/components/schemas/{name}"


class OpenApi:
    """The wire that answers with the document; it is made once, at start."""

    def __init__(self, operations: Iterable[Operation[Any, Any]]) -> None:
        self._operations = list(operations)
        self._body: bytes | None = None

    async def __call__(self, request: Request) -> Response:
        if self._body is None:
            self._body = msgspec.json.encode(document(self._operations))
        return Response(200, self._body)


def document(operations: Iterable[Operation[Any, Any]]) -> dict[str, Any]:
    """The whole OpenAPI document as plain data."""
    served = [operation for operation in operations if operation.rest]
    messages = {operation.request for operation in served} | {
        operation.response for operation in served if operation.response is not None
    }
    ordered = sorted(messages, key=lambda message: message.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF, schema_hook=_raw_schema)
    by_message = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in served:
        for route in operation.rest:
            path = re.sub(r"\{(\w+)\.\.\.\}", r"{\1}", route.path)
            paths.setdefault(path, {})[route.method.lower()] = _described(operation, route, by_message, components)
    components["Error"] = _ERROR
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ironflow", "version": VERSION},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


_ERROR = {
    "type": "object",
    "required": ["error", "message", "code"],
    "properties": {
        "error": {"type": "string"},
        "message": {"type": "string", "description": "What was asked, what is so, what to do."},
        "code": {"type": "string", "description": "A Connect code."},
        "reason": {"type": "string", "description": "The word for this very error."},
        "retryable": {"type": "boolean"},
        "retry_after": {"type": "number", "description": "Seconds."},
    },
}


def _described(
    operation: Operation[Any, Any], route: Route, by_message: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    in_path = re.findall(r"\{(\w+)(?:\.\.\.)?\}", route.path)
    asked_in_path = {name for name, said in fields_of(operation.request).items() if {name, *said.also} & set(in_path)}
    in_header = {name: header for header, name in operation.headers.items()}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path
    ]
    schema = components.get(operation.request.__name__, {})
    for name, kind in schema.get("properties", {}).items():
        if name in asked_in_path or name == operation.body:
            continue
        if name in in_header:
            parameters.append({"name": in_header[name], "in": "header", "schema": {"type": "string"}})
        elif route.method in ("GET", "DELETE") or operation.body is not None:
            parameters.append({"name": name, "in": "query", "schema": kind})
    place = operation.rest.index(route)
    described: dict[str, Any] = {
        "operationId": f"{operation.name}.{place + 1}" if place else operation.name,
        "summary": operation.doc,
        "tags": [operation.room],
        "parameters": parameters,
        "responses": _responses(operation, by_message),
        "x-ironflow-scope": operation.scope,
    }
    if operation.scope != "public":
        described["security"] = [{"key": []}]
    if operation.body is not None:
        kind = "application/octet-stream" if operation.body_is == "bytes" else "application/json"
        described["requestBody"] = {"content": {kind: {"schema": {}}}}
    elif route.method not in ("GET", "DELETE"):
        described["requestBody"] = {"content": {"application/json": {"schema": by_message[operation.request]}}}
    return described


def _responses(operation: Operation[Any, Any], by_message: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if operation.response is None:
        responses["204"] = {"description": "Done."}
    else:
        kind = "application/json" if operation.streaming == "unary" else "text/event-stream"
        content = {kind: {"schema": by_message[operation.response]}}
        responses[str(operation.success)] = {"description": operation.doc, "content": content}
    if operation.empty_when is not None:
        responses["204"] = {"description": "Nothing to answer."}
    by_status: dict[int, list[str]] = {}
    for error in operation.errors:
        by_status.setdefault(error.status, []).append(error.code)
    for status, codes in sorted(by_status.items()):
        content = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
        responses[str(status)] = {"description": ", ".join(codes), "content": content}
    return responses


def _raw_schema(kind: type) -> dict[str, Any]:
    if kind is msgspec.Raw:
        return {"description": "Any JSON."}
    raise TypeError(f"no schema for {kind!r}")
