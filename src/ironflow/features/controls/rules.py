"""What is decided about people's input; pure. What a command does to a run is decided in `ironflow.engine.control`."""

import base64

from ironflow.base.json import InvalidJson, Json, read_json
from ironflow.features.controls.contract import InvalidOutput


def output_of(given: Json) -> str:
    """The JSON text that `given` means: JSON itself, JSON as a text, or base64 of JSON; in that order.

    Raises InvalidOutput. Source: protocol/connectrpc.md 6, InjectStepOutput.
    """
    value = read_json(given)
    if not isinstance(value, str):
        return bytes(given).decode()
    try:
        read_json(value)
    except InvalidJson:
        pass
    else:
        return value
    try:
        decoded = base64.b64decode(value, validate=True).decode()
        read_json(decoded)
    except (ValueError, InvalidJson):
        # Of base64: also for letters that are not ASCII.
        raise InvalidOutput(f"{value[:40]!r} is neither JSON nor base64 of JSON.") from None
    return decoded
