"""What a program with projections imports: `from ironflow.projection import create_projection, projection`."""

from ironflow.sdk.projection import (
    ProjectionContext,
    ProjectionDefinition,
    ProjectionEvent,
    create_projection,
    projection,
)
from ironflow.sdk.projection_fold import HandlerFailed
from ironflow.sdk.projection_looking import state_as_of
from ironflow.sdk.projection_protocol import ProjectionAuthError, StreamingUnsupported
from ironflow.sdk.projection_runner import ProjectionRunner, RunnerPace

__all__ = [
    "HandlerFailed",
    "ProjectionAuthError",
    "ProjectionContext",
    "ProjectionDefinition",
    "ProjectionEvent",
    "ProjectionRunner",
    "RunnerPace",
    "StreamingUnsupported",
    "create_projection",
    "projection",
    "state_as_of",
]
