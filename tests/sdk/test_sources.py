"""The SDK's own sources: generated files are fresh, views follow their contracts, imports are light."""

import subprocess
import sys

import pytest

from ironflow.features.audit import contract as audit
from ironflow.features.config import contract as config
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.controls import contract as controls
from ironflow.features.dead_letters import contract as dead_letters
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.jobs import contract as jobs
from ironflow.features.kv import contract as kv
from ironflow.features.runs import contract as runs
from ironflow.features.streams import contract as streams
from ironflow.features.time_travel import contract as time_travel
from ironflow.sdk.client import generate_sync, views
from ironflow.sdk.durable.job import report

VIEWS = [
    (views.Failure, runs.WireError),
    (views.Run, runs.Run),
    (views.Step, runs.Step),
    (views.PausedStep, controls.PausedStep),
    (views.PausedState, controls.PausedState),
    (views.RunResult, runs.RunResult),
    (views.StepOutput, time_travel.StepOutput),
    (views.StepState, time_travel.StepState),
    (views.AuditEvent, audit.AuditEvent),
    (views.Event, events.Event),
    (views.Emitted, events.Emitted),
    (views.Function, functions.Function),
    (views.Registered, functions.Registered),
    (views.Entry, kv.Entry),
    (views.StreamEvent, streams.StreamEvent),
    (views.HistoryEntry, streams.HistoryEntry),
    (views.Snapshot, streams.Snapshot),
    (views.ConsumerGroup, groups.ConsumerGroup),
    (views.DeadLetter, dead_letters.DeadLetter),
    (views.ConfigDocument, config.Config),
]


def test_the_client_for_scripts_is_made_from_the_asynchronous_one():
    assert generate_sync.stale(generate_sync.made()) == []


def test_making_the_client_takes_awaits_out_and_leaves_texts_alone():
    source = (
        'async def f(self):\n    """Do await client.close()."""\n    async for x in await self.g():\n        yield x\n'
    )

    assert generate_sync.synchronous(source) == (
        'def f(self):\n    """Do await client.close()."""\n    for x in self.g():\n        yield x\n'
    )


@pytest.mark.parametrize(("view", "message"), VIEWS, ids=lambda each: each.__name__)
def test_a_view_has_the_fields_of_its_message(view, message):
    assert set(view.__struct_fields__) == set(message.__struct_fields__)


def test_the_view_of_a_past_run_has_the_fields_of_its_message_but_the_one_for_generated_readers():
    assert {*views.RunState.__struct_fields__, "snapshot"} == set(time_travel.RunState.__struct_fields__)


def test_reports_have_only_fields_that_the_contract_knows():
    assert {*report.StepRow.__struct_fields__} <= {*jobs.ReportedStep.__struct_fields__}
    assert {*report.RunFailure.__struct_fields__} <= {*jobs.ReportedError.__struct_fields__}
    assert {*report.JobUpdate.__struct_fields__} - {"job_id"} <= {*jobs.UpdateJob.__struct_fields__}
    assert {*report.Sleep.__struct_fields__} <= {*jobs.Yield.__struct_fields__}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import ironflow; ironflow.function", ["aiohttp", "urllib3", "cronsim"]),
        ("import ironflow.sync", ["aiohttp"]),
        ("import ironflow; ironflow.Client()", ["aiohttp", "urllib3"]),
    ],
)
def test_what_is_not_used_is_not_imported(statement, absent):
    program = f"{statement}; import sys; print(*(set({absent!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == ("", "")
