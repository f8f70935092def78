"""Each primitive of a peer is on the page for its users, in the first column, under the name that it has there."""

import re
from pathlib import Path

import pytest

GUIDES = Path(__file__).parent.parent.parent / "docs" / "guides"
PRIMITIVES = {
    "temporal": """
        activity, local activity, side effect, asynchronous completion, ApplicationError, start-to-close,
        schedule-to-start, heartbeat, timer, signal, signal handlers, signal with start, query, update,
        update with start, wait_condition, child workflow, parent close policy, Nexus,
        workflow retry policy, workflow execution, saga, cancellation scope, workflow id, continue-as-new,
        schedule, task queue, worker sessions, patched, get_version, replay tests, history limits,
        worker versioning, search attributes, memo, data converter, payload codec, codec server,
        batch operations, namespace, interceptors, logger, archival, reset, time skipping
    """,
    "dbos": """
        workflow, step, transaction, retries_allowed, pickled, workflow_id, workflow timeout,
        recovery attempts, start_workflow, retrieve_workflow, send, recv, set_event, get_event,
        write_stream, sleep, Queue, rate limit, deduplication, partitioned, delay, priority,
        worker concurrency, scheduled, child workflows, cancel_workflow, fork_workflow, list_workflows,
        patch, DBOSClient, application version, logger, debouncer, Kafka
    """,
    "restate": """
        service handler, ctx.run, terminal error, virtual object, ctx.get, ctx.set, ctx.clear, ctx.key,
        shared handler, workflow, ctx.promise, awakeable, ctx.sleep, service_call, service_send,
        delayed send, idempotency key, attach, combinators, sagas, cancel, kill, pause, restart as new,
        ctx.random, ctx.uuid, deployment, SQL introspection, Kafka, serde, retention, request identity,
        inactivity
    """,
    "inngest": """
        create_function, step.run, retries, step.sleep, wait_for_event, wait_for_signal, step.invoke,
        send_event, parallel, NonRetriableError, RetryAfterError, on_failure, fan-out, concurrency,
        throttle, rate limit, debounce, batch, priority, cancel_on, singleton, idempotency, realtime, cron,
        inngest.send, serve, replay, bulk cancel, connect, middleware, step.ai, step.fetch, event schemas,
        dev server, timeouts, function pause
    """,
}


@pytest.mark.parametrize("peer", PRIMITIVES)
def test_each_primitive_of_a_peer_is_on_its_page(peer: str):
    rows = re.findall(r"^\| (.+?) \|", (GUIDES / f"coming-from-{peer}.md").read_text(), re.MULTILINE)
    names = [name.strip() for name in PRIMITIVES[peer].split(",") if name.strip()]

    assert [name for name in names if not any(name in row for row in rows)] == []
