"""Records for the tests of the log."""

from ironflow.log.record import Record


def record(id: str, **more: object) -> Record:
    """An event as a user would emit it."""
    fields = {"environment": "default", "kind": "event", "name": "order.placed", "data": "{}", "created_at": 1, **more}
    return Record(id=id, **fields)  # pyright: ignore[reportArgumentType]
