"""What a program with projections imports: `from ironflow.projection import create_projection, projection`."""

from ironflow.base.deprecation import renamed
from ironflow.sdk.client.projection_state import state_as_of
from ironflow.sdk.projections.definition import (
    ProjectionContext,
    ProjectionDefinition,
    ProjectionEvent,
    create_projection,
    projection,
)
from ironflow.sdk.projections.fold import HandlerFailed
from ironflow.sdk.projections.protocol import ProjectionAuthError, StreamingUnsupported
from ironflow.sdk.projections.runner import ProjectionRunner, RunnerTiming

__all__ = [
    "HandlerFailed",
    "ProjectionAuthError",
    "ProjectionContext",
    "ProjectionDefinition",
    "ProjectionEvent",
    "ProjectionRunner",
    "RunnerTiming",
    "StreamingUnsupported",
    "create_projection",
    "projection",
    "state_as_of",
]


def __getattr__(name: str) -> object:
    if name == "RunnerPace":
        return renamed(__name__, name, "RunnerTiming")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
