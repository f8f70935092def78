"""Which keys requests are signed with: of the function, else of its environment, else the server's."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ironflow.base.errors import InvalidArgument


class InvalidSigningKeys(InvalidArgument):
    """The file of signing keys is a JSON object: environment, or environment/function, to a key or several."""

    code = "INVALID_SIGNING_KEYS"


class SigningKeys:
    """Keys by environment and function. default: the current one first."""

    def __init__(self, default: tuple[str, ...], own: Mapping[str, tuple[str, ...]]) -> None:
        self._default = default
        self._own = own

    def __call__(self, environment: str, function_id: str) -> tuple[str, ...]:
        own = self._own
        if not own:
            return self._default
        return own.get(f"{environment}/{function_id}") or own.get(environment) or self._default


def keys_in(file: str) -> dict[str, tuple[str, ...]]:
    """The keys of a file; none without one. Raises InvalidSigningKeys, which does not show them."""
    if not file:
        return {}
    try:
        found = msgspec.json.decode(Path(file).read_bytes(), type=dict[str, str | list[str]])
    except OSError as fault:
        raise InvalidSigningKeys(f"signing_keys_file: {file} cannot be read: {fault.strerror}.") from None
    except msgspec.MsgspecError:
        raise InvalidSigningKeys(
            f'signing_keys_file: {file} should be like {{"staging": "key", "default/charge": ["key", "previous"]}}.'
        ) from None
    keys = {name: (each,) if isinstance(each, str) else tuple(each) for name, each in found.items()}
    if not all(each and all(each) for each in keys.values()):
        raise InvalidSigningKeys(f"signing_keys_file: {file} has an empty key.")
    return keys
