"""What is told of workers: `system.worker.<id>.registered` and `.evicted`."""

from collections.abc import Mapping
from typing import Any

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis


def worker_notice(environment: str, worker_id: str, word: str, about: Mapping[str, Any], at: Millis) -> Notice:
    return Notice(environment, ("worker", worker_id, word), write_json_text({"id": worker_id, **about}), at)
