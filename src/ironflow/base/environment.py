"""Names of environments. Source: protocol/rest.md 1.1."""

import re

from ironflow.base.errors import InvalidArgument

DEFAULT_ENVIRONMENT = "default"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class InvalidEnvironment(InvalidArgument):
    """An environment's name is 1 to 128 letters, digits, `_`, `-` or `.`."""

    code = "INVALID_ENVIRONMENT"


def environment_named(text: str) -> str:
    """The environment that a header's text names: empty, `default` and `env_default` name the default one.

    Raises InvalidEnvironment.
    """
    if not text or text in (DEFAULT_ENVIRONMENT, "env_default"):
        return DEFAULT_ENVIRONMENT
    if not _NAME.fullmatch(text):
        raise InvalidEnvironment(f"{text[:60]!r} is no environment name: write letters, digits, `_`, `-` or `.`.")
    return text
