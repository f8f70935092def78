"""A webhook's request: the raw body, case-insensitive headers, and what a path finds in them."""

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec

from ironflow.base.json import InvalidJson, read_payload

FORM = "application/x-www-form-urlencoded"
FORM_FIELDS_MAX = 10_000
_HEADER = "header:"


class Headers(Mapping[str, str]):
    """Headers by name, in any case; iterating gives the names in lower case. Of a repeated header the last counts."""

    __slots__ = ("_values",)

    def __init__(self, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._values: Mapping[str, str] = {name.lower(): value for name, value in dict(headers).items()}

    @classmethod
    def lowered(cls, values: Mapping[str, str]) -> "Headers":
        """Headers whose names are in lower case already: saves a copy of each request's."""
        headers = cls.__new__(cls)
        headers._values = values
        return headers

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        # Saves the exception of a header that is not there.
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def items(self) -> ItemsView[str, str]:
        return self._values.items()

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        # Values may be credentials.
        return f"<Headers {', '.join(self._values)}>"


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One delivery. body: the bytes as they were sent. url: the whole URL that was called, where it is known."""

    body: bytes
    headers: Headers
    method: str = "POST"
    url: str = ""

    @property
    def text(self) -> str:
        """The body as text. Raises UnicodeDecodeError."""
        return self.body.decode()

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM

    def form(self) -> list[tuple[str, str]]:
        """The fields of a form, in order. Raises InvalidJson for what is no form."""
        try:
            return parse_qsl(
                self.body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict"
            )
        except ValueError as fault:
            raise InvalidJson(f"the body is not a form: {fault}") from None

    def json(self) -> Any:
        """The body as a JSON value. Raises InvalidJson."""
        return self.content()[1]

    def payload(self) -> msgspec.Raw:
        """The body as JSON. Raises InvalidJson."""
        return self.content()[0]

    def content(self) -> tuple[msgspec.Raw, Any]:
        """The body as JSON, itself, byte for byte, or a form as an object; and the value of that.

        A form's fields are texts, a repeated one a list of texts; a form of the one field `payload` is the JSON in it,
        as GitHub and Slack send it. Raises InvalidJson.
        """
        if not self.is_form:
            return _read(self.body, "the body")
        fields: dict[str, str | list[str]] = {}
        for name, value in self.form():
            before = fields.get(name)
            if before is None:
                fields[name] = value
            elif isinstance(before, list):
                before.append(value)
            else:
                fields[name] = [before, value]
        inner = fields.get("payload")
        if len(fields) == 1 and isinstance(inner, str) and inner.lstrip().startswith("{"):
            return _read(inner.encode(), "the form's payload")
        return msgspec.Raw(msgspec.json.encode(fields)), fields


def _read(body: bytes, what: str) -> tuple[msgspec.Raw, Any]:
    payload = msgspec.Raw(body)
    return payload, read_payload(payload, what)


def query_value(url: str, name: str) -> str | None:
    """The first value of a query parameter, None without one."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    return next((value for key, value in pairs if key == name), None)


def found_at(paths: str, payload: Any, headers: Headers) -> str:
    """The text at the first of `paths` that has one, else nothing.

    paths: separated by commas; each is members of the payload with dots between (`data.object.id`, `items.0.id`), or
    `header:NAME`. Only texts and whole numbers are found.
    """
    for is_header, path in _paths(paths):
        value: Any = headers.get(path) if is_header else _member(payload, path)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


@lru_cache(maxsize=1024)
def _paths(paths: str) -> tuple[tuple[bool, str], ...]:
    """(whether it is a header, its name or the members with dots between) of each path."""
    found: list[tuple[bool, str]] = []
    for path in map(str.strip, paths.split(",")):
        if path.lower().startswith(_HEADER):
            found.append((True, path[len(_HEADER) :].strip()))
        else:
            found.append((False, path.removeprefix("$.").removeprefix("body.")))
    return tuple(found)


def _member(payload: Any, path: str) -> Any:
    found = payload
    for part in path.split("."):
        if isinstance(found, dict):
            found = cast("dict[str, Any]", found).get(part)
        elif isinstance(found, list) and part.isascii() and part.isdigit() and len(part) < 6:
            items = cast("list[Any]", found)
            found = items[int(part)] if int(part) < len(items) else None
        else:
            return None
    return found
