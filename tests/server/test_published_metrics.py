"""The published series are in /metrics with their labels and a value. Source: protocol/operating.md 3."""

from prometheus_client.parser import text_string_to_metric_families

from ironflow.base.measures import SECONDS, BoundedNames, Histogram
from ironflow.base.settings import Settings
from ironflow.features.runs.measures import failure_cause
from tests.support.work import Work, step

RUN = {"function_id": "charge", "environment": "default"}
STEP = {"function_id": "charge", "step_name": "reserve", "status": "completed"}
ROUTE = {"method": "GET", "path": "/api/v1/runs/{id}", "status_code": "404"}
# Series, the labels of one of its samples after the work below, and that sample's value.
SERIES = [
    ("ironflow_runs_total", {**RUN, "status": "completed", "failure_cause": ""}, 1),
    ("ironflow_runs_total", {**RUN, "status": "failed", "failure_cause": "user"}, 1),
    ("ironflow_runs_total", {**RUN, "status": "failed", "failure_cause": "platform"}, 1),
    ("ironflow_run_duration_seconds_count", RUN, 3),
    ("ironflow_steps_total", STEP, 1),
    ("ironflow_step_duration_seconds_count", STEP, 1),
    ("ironflow_events_emitted_total", {"event_name": "order.placed", "environment": "default"}, 4),
    ("ironflow_active_runs", {"environment": "default"}, 1),
    ("ironflow_workers_connected", {"environment": "default"}, 1),
    ("ironflow_worker_disconnects_total", {"reason": "evicted"}, 1),
    ("ironflow_http_requests_total", ROUTE, 2),
    ("ironflow_http_request_duration_seconds_count", ROUTE, 2),
    ("ironflow_http_requests_total", {"method": "GET", "path": "other", "status_code": "404"}, 1),
]


async def test_the_published_series_have_their_labels_and_values_after_mixed_work(server: Work):
    await server.a_function(retry={"max_attempts": 1})
    await server.a_worker()
    await server.a_worker("gone")
    for _ in range(4):
        await server.emit(data={"total": 1})
    done, failed, late = [await server.claim() for _ in range(3)]
    await server.report(done, "completed", step(done, "reserve", 1), output=1)
    await server.report(failed, "failed")
    error = {"message": "ten workers lost it", "code": "WORKER_LOST", "retryable": False}
    await server.report(late, "failed", error=error)
    server.move(Settings().worker_evict_ms + 1)
    await server.poll()
    await server.loop("workers")
    async with server.http() as client:
        for name in ("a", "b"):
            assert (await client.get(f"/api/v1/runs/run_{name}")).status_code == 404
        assert (await client.get("/api/v1/nonsense/17")).status_code == 404
        text = (await client.get("/metrics")).text

    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
    assert {(name, str(labels)): found.get((name, frozenset(labels.items()))) for name, labels, _ in SERIES} == {
        (name, str(labels)): value for name, labels, value in SERIES
    }
    assert not any("run_a" in value or "/17" in value for each in samples for value in each.labels.values())


def test_further_names_are_other():
    names = BoundedNames(2)
    assert [names.name(each) for each in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


def test_a_bucket_counts_what_is_at_or_below_its_bound():
    histogram = Histogram()
    for seconds in (SECONDS[0], SECONDS[0] + 0.001, 10_000.0):
        histogram.add(("x",), seconds)

    buckets = dict(histogram.series["x",].buckets())
    assert (buckets[str(SECONDS[0])], buckets[str(SECONDS[1])], buckets[str(SECONDS[-1])], buckets["+Inf"]) == (
        1,
        2,
        2,
        3,
    )


def test_an_error_that_the_engine_records_is_the_platforms():
    assert failure_cause('{"message": "x", "code": "WORKER_LOST"}') == "platform"
    assert failure_cause('{"message": "x", "code": "CARD_DECLINED"}') == "user"
    assert failure_cause('{"message": "x"}') == "user"
    assert failure_cause('"x"') == "user"
