"""The state of a projection as of any moment, folded here: from the last state that the server kept before it."""

from datetime import datetime
from typing import Any

from ironflow.features.projections import contract
from ironflow.features.projections.contract import NotRecorded, WrongMode
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.connection.hooks import expecting
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.projections.fold import fold
from ironflow.sdk.projections.protocol import read_event
from ironflow.sdk.values.payload import Raw, from_payload

PAGE = 500


async def state_as_of(
    client: Client, definition: ProjectionDefinition, moment: datetime, *, partition: str = contract.GLOBAL
) -> Any:
    """The state of a managed projection, or of one partition, when every event up to `moment` had been folded.

    The server answers where it recorded that state; else the reducer folds the events that are missing. None before the
    first event. Raises HandlerFailed, ProjectionNotFound, WrongMode.
    """
    if definition.mode != "managed":
        raise WrongMode(f"{definition.name!r} is of mode external and has no state.")
    asked = contract.GetProjection(name=definition.name, partition=partition, as_of=moment)
    state: Raw | None = None
    position = 0
    try:
        with expecting(NotRecorded):
            found = await client.call(contract.envelope, asked)
    except NotRecorded:
        pass
    else:
        recorded = found.state
        if found.as_of is None or found.as_of.exact:
            return from_payload(recorded.state) if recorded is not None else None
        if recorded is not None:
            state, position = recorded.state, recorded.last_event_seq
    while True:
        page = await client.call(
            contract.events,
            contract.ReadEvents(name=definition.name, after=position, partition=partition, limit=PAGE),
        )
        events = [event for each in page.events if (event := read_event(each)).timestamp <= moment]
        if events:
            folded = await fold(definition, state, events)
            if folded.failure is not None:
                raise folded.failure
            state = folded.state
        position = page.searched
        if len(events) < len(page.events) or position >= page.head:
            return None if state is None else from_payload(state)
