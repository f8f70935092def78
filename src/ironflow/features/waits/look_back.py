"""Looking back: a wait that begins now finds events that were appended before it."""

import logging

from ironflow.features.waits.rules import Wait, matches
from ironflow.log.follower import Follower
from ironflow.log.record import Record
from ironflow.log.scan import Filter
from ironflow.storage.port import Tx

logger = logging.getLogger(__name__)

PAGE = 500


def first_matches(
    tx: Tx, waits: list[Wait], position: int, last: int, taken: set[str], events_max: int | None = None
) -> dict[str, Record]:
    """By step id, the first event after `position` and up to `last` that each wait is for.

    waits: of one run, or of runs whose step ids differ. taken: ids of events that do not count. events_max: how many
    events of a name are looked at, None for all.
    """
    found: dict[str, Record] = {}
    by_event: dict[tuple[str, str], list[Wait]] = {}
    for wait in waits:
        by_event.setdefault((wait.environment, wait.event), []).append(wait)
    for (environment, event), missing in by_event.items():
        follower = Follower(Filter(environment, names=(event,)), position, until=last, batch_max=PAGE)
        seen = 0
        while missing and follower.position < last and (events_max is None or seen < events_max):
            page = follower.read(tx)
            for record in page.items:
                if record.id in taken:
                    continue
                ended = [wait for wait in missing if matches(wait, record)]
                found |= {wait.step_id: record for wait in ended}
                missing = [wait for wait in missing if wait.step_id not in found] if ended else missing
            seen += len(page.items)
            follower.advance(page.reached, page.items)
        if missing and follower.position < last:
            fields = {"event_name": event, "events": seen, "run_id": missing[0].run_id}
            logger.warning("look-back ended before the last event", extra=fields)
    return found
