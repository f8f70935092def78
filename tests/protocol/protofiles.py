"""Writes src/ironflow/proto: `python -m tests.protocol.protofiles [--check]`.

The .proto files are made from connectrpc.json beside this file, the table of what existing clients were built from,
with the fields and methods that only older clients know; what is beyond this server's scope is left out.
`ironflow.binpb` is what protoc makes of them: the server reads binary messages by it, and tools take it as a schema.
"""

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "src" / "ironflow" / "proto"
PACKAGE = "ironflow.v1"
SHARED = "shared"
_TABLE = json.loads((Path(__file__).parent / "connectrpc.json").read_text())
_LEGACY = _TABLE["legacy"]
_GOOGLE = {
    "google.protobuf.Duration": "duration",
    "google.protobuf.Empty": "empty",
    "google.protobuf.FieldMask": "field_mask",
    "google.protobuf.Struct": "struct",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Value": "struct",
}
_HEAD = """\
// Made from tests/protocol/connectrpc.json by `python -m tests.protocol.protofiles`: change that and run it.

syntax = "proto3";

package ironflow.v1;
"""

Method = dict[str, Any]


def services() -> dict[str, dict[str, Method]]:
    """Methods by service; those of older clients included, what is beyond the server's scope left out."""
    found: dict[str, dict[str, Method]] = {}
    for service, declared in _TABLE["services"].items():
        methods = {name: method for name, method in declared["methods"].items() if method["scope"] != "beyond"}
        if methods:
            found[service] = methods
    for path, method in _LEGACY["methods"].items():
        service, _, name = path.partition("/")
        # GetCapabilities is JSON only: no descriptor has its messages.
        if method["input"] in _TABLE["messages"] or method["input"] in _LEGACY["messages"]:
            found[service][name] = method
    return found


def message(name: str) -> dict[str, Any]:
    """What the table says of a message, the fields of older clients in their places."""
    message = _TABLE["messages"].get(name) or _LEGACY["messages"][name]
    fields = message["fields"] + _LEGACY["fields"].get(name, [])
    return {**message, "fields": sorted(fields, key=lambda field: field["number"])}


def types_of(field: dict[str, Any]) -> str:
    return field["map"]["value"] if field["kind"] == "map" else field["type"]


def reached(name: str) -> set[str]:
    """The names of all messages and enums that a message is made of, its own included."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each in found or each in _GOOGLE:
            continue
        if each in _TABLE["enums"]:
            found.add(each)
        elif each in _TABLE["messages"] or each in _LEGACY["messages"]:
            found.add(each)
            waiting += [types_of(field) for field in message(each)["fields"]]
    return found


def files() -> dict[str, str]:
    """The text of every .proto file by its path below the folder."""
    owners: dict[str, set[str]] = {}
    for service, methods in services().items():
        for method in methods.values():
            for name in reached(method["input"]) | reached(method["output"]):
                owners.setdefault(name, set()).add(service)
    places = {name: SHARED if len(of) > 1 else _file_of(next(iter(of))) for name, of in owners.items()}
    by_file = {_file_of(service): (service, methods) for service, methods in services().items()}
    texts = {SHARED: _text(SHARED, places, None, {})}
    texts |= {file: _text(file, places, service, methods) for file, (service, methods) in by_file.items()}
    return {_path(file): text for file, text in sorted(texts.items())}


def _file_of(service: str) -> str:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in service.removesuffix("Service"))
    return snake.strip("_").replace("pub_sub", "pubsub")


def _path(file: str) -> str:
    return f"{PACKAGE.replace('.', '/')}/{file}.proto"


def _text(file: str, places: dict[str, str], service: str | None, methods: dict[str, Method]) -> str:
    names = [name for name, place in sorted(places.items()) if place == file]
    used = {types_of(field) for name in names if name not in _TABLE["enums"] for field in message(name)["fields"]}
    used |= {method[way] for method in methods.values() for way in ("input", "output")}
    imports = {f"google/protobuf/{_GOOGLE[name]}.proto" for name in used if name in _GOOGLE}
    imports |= {_path(places[name]) for name in used if places.get(name, file) != file}
    blocks = ["".join(f'import "{each}";\n' for each in sorted(imports))] if imports else []
    if service is not None:
        blocks.append(_block(f"service {service}", _method_lines(methods)))
    for name in names:
        if name in _TABLE["enums"]:
            values = sorted(_TABLE["enums"][name]["values"].items(), key=lambda pair: pair[1])
            blocks.append(_block(f"enum {name}", [f"{value} = {number};" for value, number in values]))
        else:
            blocks.append(_block(f"message {name}", list(_field_lines(message(name)))))
    return "\n".join([_HEAD, *blocks])


def _block(head: str, lines: Iterable[str]) -> str:
    inside = "".join(f"  {line}\n" for line in lines)
    return f"{head} {{\n{inside}}}\n" if inside else f"{head} {{}}\n"


def _method_lines(methods: dict[str, Method]) -> Iterator[str]:
    for name, method in methods.items():
        asked = ("stream " if method["client_streaming"] else "") + method["input"]
        answer = ("stream " if method["server_streaming"] else "") + method["output"]
        rpc = f"rpc {name}({asked}) returns ({answer})"
        yield rpc + (" { option idempotency_level = NO_SIDE_EFFECTS; }" if method["side_effect_free"] else ";")


def _field_lines(message: dict[str, Any]) -> Iterator[str]:
    numbers = {field["number"] for field in message["fields"]}
    reserved = [each for each in message.get("reserved_numbers", []) if not numbers & set(range(each[0], each[1] + 1))]
    if reserved:
        yield f"reserved {', '.join(str(low) if low == high else f'{low} to {high}' for low, high in reserved)};"
    within: str | None = None
    for field in sorted(message["fields"], key=lambda field: (field["oneof"] is not None, field["number"])):
        if field["oneof"] != within:
            within = field["oneof"]
            yield f"oneof {within} {{"
        yield ("  " if within else "") + _field_line(field)
    if within:
        yield "}"


def _field_line(field: dict[str, Any]) -> str:
    kind = field["type"]
    if field["kind"] == "map":
        kind = f"map<{field['map']['key']}, {field['map']['value']}>"
    elif field["repeated"]:
        kind = f"repeated {kind}"
    elif field["optional"]:
        kind = f"optional {kind}"
    seen = f"  // Only older clients: {field['last_seen']}." if "last_seen" in field else ""
    return f"{kind} {field['name']} = {field['number']};{seen}"


def descriptors(texts: dict[str, str]) -> bytes:
    """The files as one FileDescriptorSet with all that they import, as protoc makes it."""
    import grpc_tools
    from grpc_tools import protoc

    google = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        for path, text in texts.items():
            place = Path(folder, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        made = Path(folder, "all.binpb")
        command = [
            "protoc",
            f"-I{folder}",
            f"-I{google}",
            "--include_imports",
            f"--descriptor_set_out={made}",
            *texts,
        ]
        if protoc.main(command) != 0:
            raise SystemExit("protoc refuses the files, see its output above.")
        return made.read_bytes()


def main() -> None:
    texts = files()
    wanted = {path: text.encode() for path, text in texts.items()} | {"ironflow.binpb": descriptors(texts)}
    there = {str(place.relative_to(FOLDER)): place.read_bytes() for place in FOLDER.rglob("*.*") if place.is_file()}
    if there == wanted:
        return
    if "--check" in sys.argv:
        changed = sorted(path for path in there.keys() | wanted.keys() if there.get(path) != wanted.get(path))
        raise SystemExit(f"stale: {', '.join(changed)}. Run `python -m tests.protocol.protofiles`.")
    for path in there.keys() - wanted.keys():
        (FOLDER / path).unlink()
    for path, data in wanted.items():
        place = FOLDER / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


if __name__ == "__main__":
    main()
