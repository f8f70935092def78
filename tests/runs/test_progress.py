"""A report that goes on is written by fewer columns, which are all that its facts change."""

import pytest
from msgspec.structs import replace

from ironflow.engine.evolve import evolve
from ironflow.engine.facts import Fact, LeaseRenewed, StateChanged, StepsProgressed, StepsRecorded, ValuesSet
from ironflow.engine.model import EntityState, Lease, Policy, Run, RunValue, Step
from ironflow.features.runs.store import PROGRESS
from ironflow.features.runs.unit_of_work import PROGRESS_FACTS

# Rows of their own.
BESIDE = {"lease", "steps", "values"}


def step(status: str, number: int, kind: str = "invoke") -> Step:
    return Step(f"run_1:{status}:{number}", status, kind, status, number, number, 1, 5, 5, attempts_max=3)


KNOWN = [step("waiting", 0, "wait_for_event"), step("waiting", 1, "start_function"), step("failed", 2)]
RUN = Run(
    "run_1", "default", "charge", 1, "evt_1", "order.placed", "running", Policy(), 1, 2,
    error="{}", losses=2, step_count=3, next_sequence=3, open_waits=1, wake_at=7, next_at=7, hold="kept", slot_key="a",
    pause_requested=True, paused_by="key_1", cancelling="by request", compensating="{}",
    lease=Lease("held", 1, "job_1_1", 1, "token", "w1", 90, 900), steps={each.step_id: each for each in KNOWN},
)  # fmt: skip
STATUSES = ("completed", "failed", "sleeping", "waiting", "timed_out", "cancelled", "retrying", "pending", "running")
STEPS = (
    *(
        step(status, 3 + number, kind)
        for kind in ("invoke", "start_function")
        for number, status in enumerate(STATUSES)
    ),
    *(replace(each, status="completed", output="1") for each in KNOWN),
)
LEASE = Lease("held", 1, "job_1_1", 1, "token", "w1", 95, 905, log_position=4, grace_ms=1)
FACTS: list[Fact] = [
    *(kind(at=9, steps=steps) for kind in (StepsRecorded, StepsProgressed) for steps in (STEPS, STEPS[:1], STEPS[-1:])),
    LeaseRenewed(at=9, lease=LEASE),
    ValuesSet(at=9, values=(RunValue("seen", "1", 1),)),
    StateChanged(at=9, state=EntityState("1", 1)),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_what_such_a_fact_changes_is_written(fact: Fact):
    after = evolve(RUN, fact)

    changed = {name for name in Run.__struct_fields__ if getattr(after, name) != getattr(RUN, name)}
    assert changed <= {*PROGRESS, *BESIDE}


def test_every_such_fact_is_tried():
    assert {type(fact) for fact in FACTS} == PROGRESS_FACTS
