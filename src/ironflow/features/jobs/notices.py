"""System notices about workers, `system.worker.<id>.…`: registered, connected, health, evicted and disconnected."""

from collections.abc import Mapping
from typing import Any, Literal

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis


def worker_notice(environment: str, worker_id: str, verb: str, about: Mapping[str, Any], at: Millis) -> Notice:
    return Notice(environment, ("worker", worker_id, verb), write_json_text({"id": worker_id, **about}), at)


def health_notice(
    environment: str,
    worker_id: str,
    at: Millis,
    *,
    health: Literal["healthy", "unhealthy"] = "healthy",
    draining: bool = False,
) -> Notice:
    return worker_notice(environment, worker_id, "health", {"health": health, "draining": draining}, at)
