"""How a run waits for messages: a wait for an event of a reserved name, which no emitted event can have."""

_PREFIX = "$message."


def awaited_name(name: str) -> str:
    """The event that a step waits for that receives messages of this name."""
    return _PREFIX + name


def awaited_text(event: str) -> str:
    """What a wait is for, as people read it: the event's own name, or `message prompt`."""
    name = message_name(event)
    return event if name is None else f"message {name}"


def message_name(event: str) -> str | None:
    """The name of the messages that a wait is for; None when it is for an event."""
    return event.removeprefix(_PREFIX) if event.startswith(_PREFIX) else None
