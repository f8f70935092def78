"""What other features do with gathered events inside their own transactions."""

from ironflow.base.ids import Ids
from ironflow.base.json import read_json
from ironflow.base.path import compiled_path, key_text
from ironflow.features.debounces import store
from ironflow.features.debounces.rules import decide_fire_at
from ironflow.features.debounces.store import Gathered
from ironflow.features.functions.contract import DebounceConfig
from ironflow.features.functions.in_tx import Startable
from ironflow.log.record import Record
from ironflow.storage.port import Tx


def arm(tx: Tx, ids: Ids, function: Startable, config: DebounceConfig, event: Record) -> None:
    """The event takes the place of earlier ones of its lane and puts their run off."""
    key = key_text(compiled_path(config.key)(read_json(event.data))) if config.key else ""
    pending = store.lane(tx, event.environment, function.id, key)
    first_at = pending.first_at if pending is not None else event.created_at
    lane = Gathered(
        id=ids.new("deb"),
        environment=event.environment,
        function_id=function.id,
        key=key,
        event_id=event.id,
        events=1,
        first_at=first_at,
        fire_at=decide_fire_at(config, first_at, event.created_at),
    )
    store.save(tx, lane)


def gathered(tx: Tx, event_ids: list[str]) -> set[str]:
    """Those of the events that some lane will start a run with."""
    return store.gathered(tx, event_ids) if event_ids else set()


def gathered_of(tx: Tx, function_id: str, event_ids: list[str]) -> set[str]:
    """Those of the events that a lane of this function will start a run with."""
    return store.gathered_of(tx, function_id, event_ids) if event_ids else set()
