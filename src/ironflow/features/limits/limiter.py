"""Refuses requests and connections beyond their limits. Buckets are in memory, one for each subject and node."""

from collections import Counter

from ironflow.base.call import Call
from ironflow.base.operation import Adds
from ironflow.base.time import Millis
from ironflow.features.environments import in_tx as environments
from ironflow.features.limits import rules, store
from ironflow.features.limits.contract import LimitReached
from ironflow.features.limits.rules import Bucket, Full, LimitRow
from ironflow.features.usage.in_tx import usage_at
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database

CHANGED = "limits"
# Buckets in memory; with more, all are full again.
BUCKETS_MAX = 50_000
# Workers report what they have done: it is not refused, so that no lease is lost.
EXEMPT = ("public", "workers:write")
# Where no time is known.
RETRY_AFTER_S = 60.0


class Limiter:
    """idle: there are no limits, and nothing is to be done. refused: by (subject, which limit)."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        # By subject, with what the rows of an environment carry in place of its name.
        self._limits: dict[str, LimitRow] = {}
        self._buckets: dict[str, Bucket] = {}
        self._full: dict[str, Full] = {}
        self._stale = True
        # Read by every request, so it is not computed then.
        self.idle = False
        self.refused: Counter[tuple[str, ...]] = Counter()
        notifier.listen(CHANGED, lambda _: self.read_again())
        # A name may be another environment's now.
        notifier.listen(environments.CHANGED, lambda _: self.read_again())

    def read_again(self) -> None:
        """The limits may have changed: they are read at the next request."""
        self._stale, self.idle = True, False

    async def check_request(self, call: Call, scope: str) -> None:
        """Raises LimitReached."""
        if self._stale:
            await self._read()
        if scope in EXEMPT:
            return
        for subject in _subjects(call):
            limit = self._limit_of(subject)
            if limit is not None and limit.requests_per_second:
                self._take(subject, limit, call.now)

    def check_bytes_left(self, environment: str, now: Millis, adds: Adds) -> None:
        """Raises LimitReached where the environment has used up its bytes. adds: as of the operation."""
        full = self._full.get(environment)
        if full is None or not adds or (full.until is not None and (full.until <= now or adds != "events")):
            return
        subject = f"env:{environment}"
        self.refused[_counted(subject, self._limit_of(subject)), full.which] += 1
        what = "stores" if full.until is None else "has recorded today"
        end = "Delete some, or raise the limit." if full.until is None else "The next day begins at midnight UTC."
        raise LimitReached(
            f"Environment {environment!r} {what} {full.limit} bytes, its limit. {end}",
            retry_after_s=RETRY_AFTER_S if full.until is None else (full.until - now) / 1000,
        )

    def full_environments(self, now: Millis) -> list[str]:
        """Environments that may record no events now."""
        return [name for name, full in self._full.items() if full.until is None or now < full.until]

    async def look_at_usage(self, now: Millis) -> None:
        """Which environments have used up their bytes."""
        if self._stale:
            await self._read()
        if not any(each.event_bytes_per_day or each.stored_bytes for each in self._limits.values()):
            self._full = {}
            return
        found = await self._db.read(lambda tx: usage_at(tx, now))
        self._full = {
            name: full
            for name, used in found.items()
            if (limit := self._limit_of(f"env:{name}")) is not None
            and (full := rules.decide_full(limit, used, now)) is not None
        }

    def check_connections(self, call: Call, is_open: int) -> None:
        """Raises LimitReached. is_open: open connections of the caller's key or user, this one included."""
        if not call.principal.name:
            return
        limit = self._limit_of(call.principal.name)
        if limit is not None and 0 < limit.connections < is_open:
            self.refused[call.principal.name, "connections"] += 1
            raise LimitReached(
                f"The caller has {limit.connections} connections open on this node, its limit. Close one first.",
                retry_after_s=1,
            )

    def _take(self, subject: str, limit: LimitRow, now: Millis) -> None:
        taken = rules.decide_token(self._buckets.get(subject), limit, now)
        if len(self._buckets) >= BUCKETS_MAX:
            self._buckets.clear()
        self._buckets[subject] = taken.bucket
        if taken.wait_s:
            counted = _counted(subject, limit)
            self.refused[counted, "requests"] += 1
            raise LimitReached(
                f"{counted} may make {limit.requests_per_second:g} requests a second, and has.",
                retry_after_s=taken.wait_s,
            )

    def _limit_of(self, subject: str) -> LimitRow | None:
        return self._limits.get(subject) or self._limits.get(f"{subject.partition(':')[0]}:*")

    async def _read(self) -> None:
        self._stale = False
        limits, rows_as = await self._db.read(lambda tx: (store.all_limits(tx), environments.rows_by_name(tx)))
        subjects = [(rules.subject_of_rows(each.subject, rows_as), each) for each in limits]
        self._limits = {subject: each for subject, each in subjects if subject is not None}
        self.idle = not self._limits and not self._stale


def _counted(subject: str, limit: LimitRow | None) -> str:
    """What a refusal is counted for: the name that the limit has, or the subject where it is for each."""
    return subject if limit is None or limit.subject.endswith(":*") else limit.subject


def _subjects(call: Call) -> list[str]:
    """The key or user, where there is one, and the environment."""
    environment = f"env:{call.environment}"
    return [call.principal.name, environment] if call.principal.name else [environment]
