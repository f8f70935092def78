"""Writes docs/reference/rest.md, rpc.md, settings.md and errors.md: `python -m ironflow.server.reference [--check]`.

The pages are made from what the program itself goes by: the operations table, the settings, the tree of errors.
"""

import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

import ironflow
from ironflow import features
from ironflow.base.errors import IronflowError
from ironflow.base.fields import WireEnum, fields_of
from ironflow.base.json import write_json_text
from ironflow.base.operation import Operation, operations_of
from ironflow.base.spelling import bare_type
from ironflow.server.settings import ALIASES, FILE_KEYS, LEAST, Settings, kind_text

FOLDER = Path(__file__).parents[3] / "docs" / "reference"

_MADE = "<!-- Made by `python -m ironflow.server.reference`: change the code and run it. -->\n\n"
_REST = """\
# REST and RPC

Every operation of the server by room. An operation with an RPC name is also `POST /ironflow.v1.<name>`, with the same
fields; [RPC](rpc.md) says how. What is common to all:

* Field names may be written in snake_case or camelCase, unknown fields are passed over, null means unset.
* On a GET or DELETE fields are query parameters, else members of the JSON body; those in the path are taken from there.
* `X-Ironflow-Environment` (or `X-Ironflow-Environment-ID`) chooses the environment; without it, `default`.
* A refusal has a status of 4xx or 5xx and a body with `message`, `error`, `code` (a Connect code), `reason` (one of the
  words in [errors](errors.md)), and where they help `retryable` and `retry_after` (seconds).
* A field with `?` may be left out, in requests and in answers. Times are RFC 3339 in UTC.

The same as OpenAPI: `GET /api/v1/openapi.json`. Beside the table: `GET /metrics`, for Prometheus.
"""
_RPC = """\
# RPC

Every method that is served over [ConnectRPC](https://connectrpc.com), at `POST /ironflow.v1.<Service>/<Method>`; the
fields are those of the operation. [The guide](../guides/rpc.md) shows how to call them with tools.

| | unary | stream |
| --- | --- | --- |
| JSON | `application/json` | `application/connect+json` |
| protobuf | `application/proto` | `application/connect+proto` |
| gzip | `Content-Encoding`, `Accept-Encoding` | the same with `Connect-` before, and the flag `0x01` on a frame |
| deadline | `Connect-Timeout-Ms` | `Connect-Timeout-Ms` |
| status | follows the error's Connect code | 200; 404 where it is not served, 415, 505 for `bidi` on HTTP/1.1 |
| error | JSON `{code, message, reason, details}` | the same as `error` in the last frame, whose flag is `0x02` |

* Names and numbers of all fields: the `.proto` files in the package, `ironflow/proto/ironflow/v1`.
* In JSON, names may be written in snake_case or camelCase, 64-bit numbers are sent as text, and a payload that is no
  object is sent as `x` and as `xValue`. In binary it is `x` when it is an object, else `x_value`.
* Run statuses are short words in JSON, numbers in binary; a run that sleeps or waits is `paused` with a `pauseReason`
  in JSON, and 8 in binary; one that is not running yet is `pending` in JSON, and 7 in binary.
* A method that is not in these tables answers `unimplemented`.
"""
_KINDS = {"unary": "unary", "server": "server stream", "bidi": "bidirectional stream"}
_SETTINGS = """\
# Settings

A setting comes from the command line, else from the environment, else from the file given with `-f`, else it has its
default. Sizes are in bytes, times in milliseconds. A value that makes no sense ends the program with a sentence that
says where it is.

| environment variable | in the file, below `spec` | kind | default | meaning |
| --- | --- | --- | --- | --- |
"""
_FILE = """
The file is YAML:

```yaml
apiVersion: ironflow/v1
kind: Server
spec:
  port: 9123
  storage:
    url: ${DATABASE_URL:-ironflow.db}
  engine:
    retry: {maxAttempts: 3, onExhausted: fail}
```

`${NAME}` and `${NAME:-default}` are replaced from the environment; a name that is not set and has no default is an
error. A key that is not in the table is an error too, so that a misspelled one is noticed.
"""
_ERRORS = """\
# Errors

`reason` in a refusal is one of these words; the SDK raises the class of that name. The family decides the Connect code
and the HTTP status of REST; over RPC the status follows the Connect code alone. Retryable means that the same request
may succeed later.
"""
# Where errors are declared that a client or an operator can meet.
_FLOORS = ("base", "engine", "log", "storage", "features", "dispatch", "transports", "server", "sdk")


def operations() -> list[Operation[Any, Any]]:
    """Every declared operation, by room."""
    found: list[Operation[Any, Any]] = []
    for room in sorted(each.name for each in pkgutil.iter_modules(features.__path__)):
        contract = f"{features.__name__}.{room}.contract"
        if find_spec(contract):
            found += operations_of(import_module(contract))
    return found


def rest_page() -> str:
    rooms: dict[str, list[Operation[Any, Any]]] = {}
    for operation in operations():
        rooms.setdefault(operation.room, []).append(operation)
    return _MADE + _REST + "".join(_room(name, rooms[name]) for name in sorted(rooms))


def _room(name: str, found: list[Operation[Any, Any]]) -> str:
    # The room of the contract, which an operation's own word for it may shorten (`server` for `server_state`).
    room = import_module(found[0].request.__module__.partition(".contract")[0])
    return f"\n## {name}\n\n{_flat(room.__doc__ or '')}\n" + "".join(_operation(each) for each in found)


def _operation(operation: Operation[Any, Any]) -> str:
    ways = [f"`{route.method} {route.path.replace('...', '…')}`" for route in operation.rest]
    ways += [f"RPC `{name}`" for name in operation.rpc]
    request = _fields(operation.request, {header: name for name, header in operation.headers.items()})
    answer = _fields(operation.response, {}) if operation.response is not None else "nothing"
    status = 204 if operation.response is None else operation.success
    if operation.empty_when is not None:
        answer += f"; 204 when `{operation.empty_when}` is empty"
    lines = [f"\n### {operation.name}\n", f"{', '.join(ways)} · scope `{operation.scope}`\n", f"{operation.doc}\n"]
    lines += [f"* asks: {request or 'nothing'}"]
    if operation.body is not None:
        lines += [f"* the body is `{operation.body}` itself"]
    if operation.body_or is not None:
        lines += [f"* a body that has other fields, or is no object, is `{operation.body_or}` itself"]
    lines += [f"* answers {status}: {answer}"]
    if operation.errors:
        codes = sorted({(error.status, error.code) for error in operation.errors})
        lines += [f"* refuses: {', '.join(f'{status} `{code}`' for status, code in codes)}"]
    return "\n".join(lines) + "\n"


def _fields(message: type[msgspec.Struct], headers: dict[str, str]) -> str:
    hints = get_type_hints(message, include_extras=True)
    optional = {info.name for info in msgspec.structs.fields(message) if not info.required}
    told: list[str] = []
    for name in message.__struct_fields__:
        also = "".join(f" or `{other}`" for other in fields_of(message)[name].also)
        header = f", header `{headers[name]}`" if name in headers else ""
        told.append(f"`{name}{'?' if name in optional else ''}`{also} ({_kind(hints[name])}{header})")
    return ", ".join(told)


def _kind(hint: Any) -> str:
    kind = bare_type(hint)
    if kind is msgspec.Raw:
        return "any JSON"
    if get_origin(kind) is list:
        return f"list of {_kind(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return f"object of {_kind(get_args(kind)[1])}"
    if isinstance(kind, type) and issubclass(kind, WireEnum):
        return " or ".join(member.value for member in kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"{{{', '.join(kind.__struct_fields__)}}}"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", bytes: "base64"}
    return names.get(kind, "time" if getattr(kind, "__name__", "") == "datetime" else "any JSON")


def rpc_page() -> str:
    services: dict[str, dict[str, Operation[Any, Any]]] = {}
    for operation in operations():
        for rpc in operation.rpc:
            service, _, method = rpc.partition("/")
            services.setdefault(service, {})[method] = operation
    page = _MADE + _RPC
    for service, methods in sorted(services.items()):
        page += f"\n## {service}\n\n| method | kind | operation | scope | |\n| --- | --- | --- | --- | --- |\n"
        for method, operation in sorted(methods.items()):
            link = f"[{operation.name}](rest.md#{re.sub(r'[^a-z0-9_-]', '', operation.name)})"
            kind = _KINDS[operation.streaming]
            page += f"| `{method}` | {kind} | {link} | `{operation.scope}` | {_flat(operation.doc)} |\n"
    return page


def settings_page() -> str:
    in_file = {name: key for key, name in reversed(FILE_KEYS.items())}
    other_names: dict[str, list[str]] = {}
    for variable, name in ALIASES.items():
        other_names.setdefault(name, []).append(variable)
    rows = ""
    for each in fields(Settings):
        names = ", ".join(f"`{name}`" for name in [f"IRONFLOW_{each.name.upper()}", *other_names.get(each.name, [])])
        key = f"`{in_file[each.name]}`" if each.name in in_file else ""
        default = f"`{write_json_text(each.default)}`" if each.default != "" else ""
        least = f", at least {LEAST[each.name]}" if each.name in LEAST else ""
        rows += f"| {names} | {key} | {kind_text(each.type)}{least} | {default} | {each.metadata['meaning']} |\n"
    return _MADE + _SETTINGS + rows + _FILE


def errors_page() -> str:
    families: dict[tuple[int, str], list[type[IronflowError]]] = {}
    for error in _errors():
        families.setdefault((error.status, error.connect), []).append(error)
    page = _MADE + _ERRORS
    for (status, connect), errors in sorted(families.items()):
        page += f"\n## {status} `{connect}`\n\n| reason | class | meaning |\n| --- | --- | --- |\n"
        for error in sorted(errors, key=lambda each: (each.code, each.__name__)):
            again = " Retryable." if error.retryable else ""
            page += f"| `{error.code}` | `{error.__name__}` | {_flat(error.__doc__ or '')}{again} |\n"
    return page


def _errors() -> Iterator[type[IronflowError]]:
    for floor in _FLOORS:
        module = import_module(f"ironflow.{floor}")
        for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
            import_module(found.name)
    prefixes = tuple(f"{ironflow.__name__}.{floor}" for floor in _FLOORS)
    yield from (each for each in _tree(IronflowError) if each.__module__.startswith(prefixes))


def _tree(root: type[IronflowError]) -> Iterator[type[IronflowError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def _flat(text: str) -> str:
    """A docstring as one line, safe within a table."""
    return re.sub(r"\s+", " ", text.strip()).replace("|", "\\|")


PAGES = {"rest.md": rest_page, "rpc.md": rpc_page, "settings.md": settings_page, "errors.md": errors_page}


def main() -> None:
    """Writes the pages, or with `--check` ends with 1 when one on disk is not what it should be."""
    for name, page in PAGES.items():
        file, fresh = FOLDER / name, page()
        if "--check" not in sys.argv[1:]:
            file.write_text(fresh)
        elif not file.exists() or file.read_text() != fresh:
            sys.exit(f"docs/reference/{name} is not what the code says. Run: python -m ironflow.server.reference")


if __name__ == "__main__":
    main()
