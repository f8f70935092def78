"""Which runner is fed, and may write: the one with the lease, or with the implicit lease."""

from dataclasses import dataclass, replace
from datetime import timedelta

from ironflow.base.time import Millis
from ironflow.features.projections.contract import LeaseLost
from ironflow.features.projections.rules.registry import ProjectionRow

LEASE_MS = 30_000
LEASE = timedelta(milliseconds=LEASE_MS)
# The feed of a runner without a lease renews its implicit lease each heartbeat; that of a dead node is dropped.
IMPLICIT_LEASE_MS = 45_000


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as a runner names it."""

    token: str
    epoch: int


def is_leased(projection: ProjectionRow, now: Millis) -> bool:
    return bool(projection.lease_token) and projection.lease_ends_at > now


def decide_acquire(
    projection: ProjectionRow, token: str, now: Millis, *, feeds_both: bool = False
) -> ProjectionRow | None:
    """The projection with its lease given to `token`; None while another runner holds it.

    The epoch rises with every grant, so the runner that held the lease before can write no more.
    """
    if is_leased(projection, now):
        return None
    return replace(
        projection,
        lease_token=token,
        lease_epoch=projection.lease_epoch + 1,
        lease_ends_at=now + LEASE_MS,
        implicit_lease="",
        implicit_lease_ends_at=0,
        feeds_both=feeds_both,
    )


def check_lease(projection: ProjectionRow, held: Held | None, now: Millis) -> None:
    """Raises LeaseLost for a stale lease, and for a runner without one beside a runner that holds it.

    A lease whose time is over still counts as long as no other runner took it: nothing was written since.
    """
    if held is not None:
        if (held.token, held.epoch) != (projection.lease_token, projection.lease_epoch):
            raise LeaseLost("projection lease lost: another runner has it, or the projection is built anew.")
    elif is_leased(projection, now):
        raise LeaseLost("projection lease lost: a runner with a lease feeds this projection.")


def without_lease(projection: ProjectionRow) -> ProjectionRow:
    """The projection without a lease; the runner that held it can write no more."""
    return replace(
        projection, lease_token="", lease_epoch=projection.lease_epoch + 1, lease_ends_at=0, implicit_lease=""
    )


def decide_implicit_lease(projection: ProjectionRow, stream: str, now: Millis) -> ProjectionRow | None:
    """The projection when `stream` feeds its runner, which has no lease; None while another stream or a lease does."""
    if is_leased(projection, now) or (
        projection.implicit_lease not in ("", stream) and projection.implicit_lease_ends_at > now
    ):
        return None
    return replace(projection, implicit_lease=stream, implicit_lease_ends_at=now + IMPLICIT_LEASE_MS, feeds_both=False)


def without_implicit_lease(projection: ProjectionRow) -> ProjectionRow:
    return replace(projection, implicit_lease="", implicit_lease_ends_at=0)


def is_fed(projection: ProjectionRow, held: Held | None, stream: str, now: Millis, *, beside: bool = False) -> bool:
    """Whether a runner gets events now. stream: its id, empty for a poll.

    beside: of the version that readers see, while another is built; what fails there delays nothing here.
    """
    if projection.paused or (projection.retry_at > now and not beside):
        return False
    if held is not None:
        return True
    return not is_leased(projection, now) and (
        projection.implicit_lease in ("", stream) or projection.implicit_lease_ends_at <= now
    )
