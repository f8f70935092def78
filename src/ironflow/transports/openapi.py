"""The REST surface as an OpenAPI 3.1 document, made from the operations table."""

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from ironflow.base.fields import WireEnum, fields_of
from ironflow.base.operation import Operation, Route
from ironflow.base.spelling import camel
from ironflow.base.version import VERSION

_REF = "#/components/schemas/{name}"


def document(operations: Iterable[Operation[Any, Any]]) -> dict[str, Any]:
    """The whole OpenAPI document as plain data."""
    served = [operation for operation in operations if operation.rest]
    messages = {operation.request for operation in served} | {
        operation.response for operation in served if operation.response is not None
    }
    ordered = sorted(messages, key=lambda message: message.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF, schema_hook=_raw_schema)
    _name_sent_forms(components)
    by_message = dict(zip(ordered, schemas, strict=True))
    in_camel = {
        each.response: by_message[each.response]
        for each in served
        if each.spelling == "camel" and each.response is not None
    }
    camel_answers = {message: _in_camel(schema, components) for message, schema in in_camel.items()}
    paths: dict[str, dict[str, Any]] = {}
    for operation in served:
        for route in operation.rest:
            path = re.sub(r"\{(\w+)\.\.\.\}", r"{\1}", route.path)
            paths.setdefault(path, {})[route.method.lower()] = _described(
                operation, route, by_message, camel_answers, components
            )
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
        "reason": {"type": "string", "description": "The error's own code, such as RUN_NOT_FOUND."},
        "retryable": {"type": "boolean"},
        "retry_after": {"type": "number", "description": "Seconds."},
    },
}


def _name_sent_forms(components: dict[str, Any]) -> None:
    """Adds to the values of each enum the forms in which answers have them; requests may have any of both."""
    for kind in WireEnum.__subclasses__():
        found = components.get(kind.__name__)
        if found is not None and set(found.get("enum", ())) == {each.value for each in kind}:
            found["enum"] = sorted({*found["enum"], *(each.sent_by_rest for each in kind)})


def _described(
    operation: Operation[Any, Any],
    route: Route,
    by_message: dict[Any, Any],
    camel_answers: dict[Any, Any],
    components: dict[str, Any],
) -> dict[str, Any]:
    in_path = re.findall(r"\{(\w+)(?:\.\.\.)?\}", route.path)
    path_fields = {name for name, field in fields_of(operation.request).items() if {name, *field.also} & set(in_path)}
    in_header = {name: header for header, name in operation.headers.items()}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path
    ]
    schema = _component(by_message[operation.request], components)
    for name, kind in schema.get("properties", {}).items():
        if name in path_fields or name in (operation.body, operation.head):
            continue
        if name in in_header:
            parameters.append({"name": in_header[name], "in": "header", "schema": {"type": "string"}})
        elif route.method in ("GET", "DELETE") or operation.body is not None:
            parameters.append({"name": name, "in": "query", "schema": kind})
    index = operation.rest.index(route)
    described: dict[str, Any] = {
        "operationId": f"{operation.name}.{index + 1}" if index else operation.name,
        "summary": operation.doc,
        "tags": [operation.feature],
        "parameters": parameters,
        "responses": _responses(operation, camel_answers if operation.spelling == "camel" else by_message, components),
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


def _component(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to. Messages of the same name in two features have components with longer names."""
    return components.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)


def _responses(
    operation: Operation[Any, Any], by_message: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if operation.response is None:
        responses["204"] = {"description": "Done."}
    else:
        kind = "application/json" if operation.streaming == "unary" else "text/event-stream"
        schema = by_message[operation.response]
        if operation.alone is not None:
            # The list alone, unless the request asks for the object.
            entries = _component(schema, components)["properties"][operation.alone[0]]
            schema = {"anyOf": [entries, schema]}
        content = {kind: {"schema": schema}}
        for status in operation.statuses or (operation.success,):
            responses[str(status)] = {"description": operation.doc, "content": content}
    if operation.empty_when is not None:
        responses["204"] = {"description": "Nothing to answer."}
    by_status: dict[int, list[str]] = {}
    for error in operation.errors:
        by_status.setdefault(error.status, []).append(error.code)
    for status, codes in sorted(by_status.items()):
        content = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
        responses[str(status)] = {"description": ", ".join(codes), "content": content}
    # What any request can be refused with: bad input, no key, a limit, a server that is busy or stopping.
    content = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
    responses["default"] = {"description": "The request was refused.", "content": content}
    return responses


def _in_camel(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The same schema with keys in camelCase. Messages that it refers to become components of their own."""
    if isinstance(reference := schema.get("$ref"), str):
        name = reference.rpartition("/")[2]
        if "properties" not in components[name]:
            return schema
        other = f"{name}Camel"
        if other not in components:
            # Before its fields are looked at, which may refer to it.
            components[other] = {}
            components[other] = _in_camel(components[name], components)
        return {**schema, "$ref": _REF.format(name=other)}
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            changed[key] = {camel(name): _in_camel(each, components) for name, each in value.items()}
        elif key == "required":
            changed[key] = [camel(name) for name in value]
        elif isinstance(value, dict):
            changed[key] = _in_camel(cast("dict[str, Any]", value), components)
        elif key in ("anyOf", "oneOf", "allOf"):
            changed[key] = [_in_camel(each, components) for each in value]
        else:
            changed[key] = value
    return changed


def _raw_schema(kind: type) -> dict[str, Any]:
    if kind is msgspec.Raw:
        return {"description": "Any JSON."}
    raise TypeError(f"no schema for {kind!r}")
