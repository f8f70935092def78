"""Finding and replacing the values of secrets in texts. Servers and workers do it alike."""

import json
from collections.abc import Iterable

from ironflow.base.errors import SecretInOutput

# Shorter values occur in other texts by chance.
CHARS_MIN = 8
REPLACEMENT = "[secret]"
SECRET_IN_OUTPUT = SecretInOutput.code


def secret_texts(values: Iterable[str]) -> tuple[str, ...]:
    """The texts to look for: each value that is long enough, as it is and as JSON escapes it, longest first."""
    found: set[str] = set()
    for value in values:
        if len(value) >= CHARS_MIN:
            found |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return tuple(sorted(found, key=lambda text: (-len(text), text))) if found else ()


def redact(text: str, texts: Iterable[str]) -> str:
    """`text` with each of the texts replaced."""
    for each in texts:
        if each in text:
            text = text.replace(each, REPLACEMENT)
    return text


def is_shown(text: str, texts: Iterable[str]) -> bool:
    """Whether one of the texts is in `text`."""
    return any(each in text for each in texts)


def leak_message(what: str) -> str:
    """Why an output is not recorded. what: `The output of step 'charge'`."""
    return (
        f"{what} contains a secret that was given to the function, and would be recorded. Return what does not show it."
    )
