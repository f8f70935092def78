"""The marker that takes the place of a redacted payload. Source: protocol/errors-and-defaults.md 3."""

from typing import Any, cast

from ironflow.base.json import InvalidJson, read_json


def is_redacted(payload: str) -> bool:
    """Whether a payload, as JSON text, was redacted."""
    if '"$redacted"' not in payload:
        return False
    try:
        value = read_json(payload)
    except InvalidJson:
        return False
    return isinstance(value, dict) and cast(dict[str, Any], value).get("$redacted") is True
