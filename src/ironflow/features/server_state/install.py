"""Puts the feature into a server."""

from collections.abc import Callable
from typing import Any

from ironflow.features.parts import Parts
from ironflow.features.server_state.service import About, ServerState

NO_AUTH = "Authentication is off; keep the port private, or set IRONFLOW_AUTH=true."


def install(parts: Parts, openapi: Callable[[], dict[str, Any]]) -> None:
    """openapi: the OpenAPI document of all operations, made when it is first asked for."""
    if not parts.settings.dev and not parts.settings.enforces_auth:
        parts.warnings.append(lambda: NO_AUTH)
    about = About(
        started_at=parts.started_at,
        auth_required=parts.settings.enforces_auth,
        event_schema_enforcement=parts.settings.event_schema_enforcement,
        warnings=lambda: [text for warning in parts.warnings if (text := warning()) is not None],
        counters=parts.counters,
        installed=lambda: {each.feature for each in parts.handlers},
        notifier_issue=lambda: parts.notifier.issue,
        loops_failing=lambda: dict(parts.loops_failing),
        openapi=openapi,
        settings=parts.settings,
    )
    parts.bind(ServerState(parts.db, about).handlers())
