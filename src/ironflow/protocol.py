"""The exchange of push executions: what a server posts, and what an endpoint answers.

For endpoints that are written without `ironflow.serve`. `push_request_schema` and `push_response_schema` give JSON
Schemas.
"""

from typing import Any

from ironflow.features.jobs.contract import ReportedError, ReportedStep, Yield
from ironflow.features.push.contract import Callback, PushEvent, PushRequest, PushResponse, PushStep
from ironflow.sdk.values.json_schema import schema_of

__all__ = [
    "Callback",
    "PushEvent",
    "PushRequest",
    "PushResponse",
    "PushStep",
    "ReportedError",
    "ReportedStep",
    "Yield",
    "push_request_schema",
    "push_response_schema",
]


def push_request_schema() -> dict[str, Any]:
    """The JSON Schema of the body that a server posts."""
    return schema_of(PushRequest)


def push_response_schema() -> dict[str, Any]:
    """The JSON Schema of the body that an endpoint answers with status 200."""
    schema = schema_of(PushResponse)
    properties = schema["$defs"]["PushResponse"]["properties"]
    # As JSON names it; in Python it is a keyword.
    properties["yield"] = properties.pop("yielded")
    return schema
