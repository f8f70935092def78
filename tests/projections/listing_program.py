"""A program with a projection that lists what it has folded: `python -m tests.projections.listing_program URL`."""

import sys
from typing import Any

from ironflow.projection import ProjectionEvent, RunnerTiming, projection
from ironflow.worker import Worker


@projection("listing", events=["order.*"], initial_state={"seen": []}, partition_key="data.c", batch_size=20)
def listing(state: Any, event: ProjectionEvent) -> Any:
    return {"seen": [*state["seen"], event.data["n"]]}


if __name__ == "__main__":
    Worker(projections=[listing], url=sys.argv[1], projection_timing=RunnerTiming(standby=0.2)).run()
