"""The values that a client expands, and their references; pure."""

from dataclasses import dataclass
from typing import Any, cast

from ironflow.base.json import write_json_text
from ironflow.debugging.dap.protocol import Refused

SHOWN_CHARS_MAX = 500
CHILDREN_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Node:
    """A value with parts. path: how an expression names it, empty where none does.

    step_id: the step whose output it is, or is a part of; empty for others. keys: where in that output; None for the
    scope that holds whole outputs.
    """

    value: Any
    path: str = ""
    step_id: str = ""
    keys: tuple[str | int, ...] | None = None
    # From the name of a whole output to its step id.
    outputs: dict[str, str] | None = None


class References:
    """The numbers of nodes, as long as the run stands at one moment."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []

    def clear(self) -> None:
        self._nodes.clear()

    def of(self, node: Node) -> int:
        """A number for the node; 0 for a value without parts."""
        if not isinstance(node.value, dict | list) or not node.value:
            return 0
        self._nodes.append(node)
        return len(self._nodes)

    def node(self, reference: int) -> Node:
        """Raises Refused."""
        if not 1 <= reference <= len(self._nodes):
            raise Refused(f"there are no variables of reference {reference}: the run has moved since.")
        return self._nodes[reference - 1]

    def variable(self, name: str, node: Node) -> dict[str, Any]:
        """A variable as the protocol has it."""
        found: dict[str, Any] = {
            "name": name,
            "value": shown(node.value),
            "type": type_of(node.value),
            "variablesReference": self.of(node),
        }
        if node.path:
            found["evaluateName"] = node.path
        if isinstance(node.value, list):
            found["indexedVariables"] = len(cast("list[Any]", node.value))
        elif isinstance(node.value, dict):
            found["namedVariables"] = len(cast("dict[str, Any]", node.value))
        return found

    def children(self, reference: int, start: int, count: int, wanted: str) -> list[dict[str, Any]]:
        """The parts of a node. count: 0 for all, up to CHILDREN_MAX. wanted: `indexed` or `named`, empty for both."""
        node = self.node(reference)
        listed = isinstance(node.value, list)
        if wanted and (wanted == "indexed") != listed:
            return []
        values = cast("list[Any] | dict[str, Any]", node.value)
        names: list[str | int] = [*range(len(values))] if listed else [*cast("dict[str, Any]", values)]
        chosen = names[start : start + (min(count, CHILDREN_MAX) or CHILDREN_MAX)] if start >= 0 else []
        return [self.variable(str(name), part(node, name)) for name in chosen]


def part(node: Node, name: str | int) -> Node:
    """A part of a node by its name or index. Raises KeyError, IndexError."""
    value = node.value[name]
    path = _path(node.path, name) if node.path else ""
    if node.outputs is not None:
        return Node(value, path, node.outputs[str(name)], ())
    if node.step_id and node.keys is not None:
        return Node(value, path, node.step_id, (*node.keys, name))
    return Node(value, path)


def named(node: Node, name: str) -> Node:
    """The part that a client names, as text. Raises Refused."""
    try:
        return part(node, int(name) if isinstance(node.value, list) else name)
    except (KeyError, IndexError, ValueError):
        raise Refused(f"there is no variable {name!r} here.") from None


def replaced(value: Any, keys: tuple[str | int, ...], new: Any) -> Any:
    """A copy of `value` with `new` at these keys."""
    if not keys:
        return new
    if isinstance(value, list):
        items = list(cast("list[Any]", value))
        items[cast("int", keys[0])] = replaced(items[cast("int", keys[0])], keys[1:], new)
        return items
    members = dict(cast("dict[str, Any]", value))
    name = cast("str", keys[0])
    members[name] = replaced(members[name], keys[1:], new)
    return members


def shown(value: Any, chars_max: int = SHOWN_CHARS_MAX) -> str:
    """A value as JSON, cut at `chars_max`."""
    text = write_json_text(value)
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def type_of(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return kinds.get(type(value), "object")


def _path(parent: str, name: str | int) -> str:
    if isinstance(name, int):
        return f"{parent}[{name}]"
    return f"{parent}.{name}" if name.isidentifier() else f"{parent}[{write_json_text(name)}]"
