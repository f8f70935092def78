"""What executions at endpoints read and record of them inside their own transactions."""

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis, to_datetime
from ironflow.features.endpoints import store
from ironflow.features.endpoints.rules import Breaker, BreakerState, Limits, decide_capacity, decide_failed, endpoint_id
from ironflow.features.endpoints.rules import state_of as state_of
from ironflow.features.endpoints.store import breaker, breakers, due, forget, lock, next_due
from ironflow.storage.port import Tx

TOPIC = "endpoints"

__all__ = [
    "TOPIC",
    "Breaker",
    "BreakerState",
    "Limits",
    "breaker",
    "breakers",
    "decide_capacity",
    "due",
    "endpoint_id",
    "failed",
    "forget",
    "lock",
    "next_due",
    "state_of",
    "succeeded",
]


def failed(tx: Tx, environment: str, url: str, limits: Limits, error: str, now: Millis) -> Breaker:
    """Records a failed request. A breaker that opens is published and wakes the loop that tries the endpoint again."""
    store.lock(tx, environment, url)
    before = store.breaker(tx, environment, url)
    after = decide_failed(before, limits, error, now)
    store.save(tx, environment, url, after)
    if after.opened > before.opened:
        tx.notify(TOPIC)
        tx.publish_local(_notice(environment, url, "opened", after, now))
    return after


def succeeded(tx: Tx, environment: str, url: str, now: Millis) -> None:
    """Records a request that succeeded after one or more that failed."""
    store.lock(tx, environment, url)
    before = store.breaker(tx, environment, url)
    if store.close(tx, environment, url) and before.open_until:
        tx.publish_local(_notice(environment, url, "closed", before, now))


def _notice(environment: str, url: str, verb: str, breaker: Breaker, now: Millis) -> Notice:
    about = {"id": endpoint_id(url), "endpoint": url, "failures": breaker.failures, "error": breaker.error}
    if verb == "opened":
        about["until"] = to_datetime(breaker.open_until).isoformat().replace("+00:00", "Z")
    return Notice(environment, ("endpoint", endpoint_id(url), verb), write_json_text(about), now)
