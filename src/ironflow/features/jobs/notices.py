"""System notices about workers: `system.worker.<id>.registered`, `.connected`, `.evicted` and `.disconnected`."""

from collections.abc import Mapping
from typing import Any

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis


def worker_notice(environment: str, worker_id: str, verb: str, about: Mapping[str, Any], at: Millis) -> Notice:
    return Notice(environment, ("worker", worker_id, verb), write_json_text({"id": worker_id, **about}), at)
