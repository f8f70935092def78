"""Texts that can be stored: databases have no U+0000, UTF-8 no half of a surrogate pair.

Such halves come from file names that are not UTF-8, and from JSON with a lone `\\ud800`.
"""


def is_storable(text: str) -> bool:
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """The text with other characters in place of those that cannot be stored."""
    return text if is_storable(text) else text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
