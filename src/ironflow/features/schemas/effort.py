"""How much work a validation against a schema can take; pure.

A few lines of JSON can make a validator evaluate a schema millions of times: definitions that each refer twice to the
next, or a schema that meets itself twice at every level of the data. No time limit reaches into a validator, so
the work is counted before: registering refuses the first kind, and data is checked against the second only down to
the depth at which the work is still bounded.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from ironflow.features.schemas.contract import InvalidSchema

# Evaluations of subschemas for one place of the data; a million of them take a few hundredths of a second.
EVALUATIONS_MAX = 20_000
REFS_MAX = 10_000

_IN_PLACE = ("not", "if", "then", "else")
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_IN_PLACE_MAPS = ("dependentSchemas", "dependencies")
_WITHIN = (
    "additionalProperties", "propertyNames", "unevaluatedProperties", "unevaluatedItems", "items", "contains",
    "additionalItems",
)  # fmt: skip
_WITHIN_LISTS = ("prefixItems", "items")
_WITHIN_MAPS = ("patternProperties",)
_NAMES = ("$defs", "definitions")

# The place of a subschema: its identity in the decoded document.
Node = int


class Edge(NamedTuple):
    """What a schema applies. key: the member of the data that it applies to; `*` for any, None for the data itself."""

    target: dict[str, Any]
    key: str | None


class Effort:
    """The work of one schema. evaluations: of its parts, where nothing is met twice.

    Raises InvalidSchema for references that lead out of the schema or nowhere, for a schema that refers to itself
    without going into the data, and for one that takes too many evaluations.
    """

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._edges: dict[Node, list[Edge]] = {}
        self._anchors: dict[str, list[dict[str, Any]]] = {}
        if isinstance(schema, dict):
            self._find_anchors(schema)
            self._collect(schema)
        self._order_in_place = self._in_place_order()
        self.evaluations = self._evaluations()
        if self.evaluations > EVALUATIONS_MAX:
            raise InvalidSchema(
                f"The schema takes more than {EVALUATIONS_MAX} evaluations of its parts, because definitions refer to "
                "others again and again. Refer to each once."
            )

    def depth_max(self, work_max: int) -> int | None:
        """How deep data may be nested to be checked with at most `work_max` evaluations; None for any depth."""
        growth = self._growth
        if growth <= 1:
            return None
        work, levels = max(self.evaluations, 1), 0
        while work * growth <= work_max:
            work *= growth
            levels += 1
        return levels

    def _find_anchors(self, schema: dict[str, Any]) -> None:
        waiting: list[Any] = [schema]
        while waiting:
            node = waiting.pop()
            if isinstance(node, dict):
                if node is not schema and isinstance(node.get("$id"), str):
                    raise InvalidSchema("A part of the schema has an $id of its own. Name parts in $defs instead.")
                for keyword in ("$anchor", "$dynamicAnchor"):
                    if isinstance(node.get(keyword), str):
                        self._anchors.setdefault(node[keyword], []).append(node)
                waiting += node.values()
            elif isinstance(node, list):
                waiting += node

    def _collect(self, schema: dict[str, Any]) -> None:
        """The edges of every subschema that can be reached, named definitions included."""
        waiting = [schema]
        references = 0
        while waiting:
            node = waiting.pop()
            if id(node) in self._edges:
                continue
            edges = [each for each in self._edges_of(node) if isinstance(each.target, dict)]
            references += sum(keyword in node for keyword in ("$ref", "$dynamicRef"))
            if references > REFS_MAX:
                raise InvalidSchema(f"The schema has more than {REFS_MAX} references.")
            self._edges[id(node)] = edges
            waiting += [each.target for each in edges]
            waiting += [each for keyword in _NAMES for each in _values(node.get(keyword)) if isinstance(each, dict)]

    def _edges_of(self, node: dict[str, Any]) -> Iterator[Edge]:
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(node.get(keyword), str):
                for target in self._meant(node[keyword]):
                    yield Edge(target, None)
        for keyword in _IN_PLACE:
            yield Edge(node.get(keyword, True), None)
        for keyword in _IN_PLACE_LISTS:
            yield from (Edge(each, None) for each in _items(node.get(keyword)))
        for keyword in _IN_PLACE_MAPS:
            yield from (Edge(each, None) for each in _values(node.get(keyword)))
        for keyword in _WITHIN:
            yield Edge(node.get(keyword, True), "*")
        for keyword in _WITHIN_LISTS:
            yield from (Edge(each, f"/{place}") for place, each in enumerate(_items(node.get(keyword))))
        for keyword in _WITHIN_MAPS:
            yield from (Edge(each, "*") for each in _values(node.get(keyword)))
        properties = node.get("properties")
        if isinstance(properties, dict):
            yield from (Edge(each, name) for name, each in properties.items())

    def _meant(self, reference: str) -> list[Any]:
        """What a reference refers to, which must be in the schema itself: nothing is ever fetched."""
        base, _, fragment = reference.partition("#")
        own = self._root.get("$id", "") if isinstance(self._root, dict) else ""
        if base and base != str(own).partition("#")[0]:
            raise InvalidSchema(
                f"The schema refers to {reference[:80]!r}. A schema refers to its own parts only, such as "
                "`#/$defs/address`; nothing is fetched."
            )
        if fragment and not fragment.startswith("/"):
            if fragment not in self._anchors:
                raise InvalidSchema(f"The schema refers to {reference[:80]!r}, and has no such anchor.")
            return list(self._anchors[fragment])
        target: Any = self._root
        for keyword in fragment.split("/")[1:]:
            name = _unquoted(keyword).replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and name in target:
                target = target[name]
            elif isinstance(target, list) and name.isascii() and name.isdigit() and int(name) < len(target):
                target = target[int(name)]
            else:
                raise InvalidSchema(f"The schema refers to {reference[:80]!r}, and has no such part.")
        if not isinstance(target, dict | bool):
            raise InvalidSchema(f"The schema refers to {reference[:80]!r}, which is no schema.")
        return [target]

    def _in_place_order(self) -> list[Node]:
        """Subschemas, each after all that it applies to the same data. Raises InvalidSchema when that is itself."""
        order, cyclic = _ordered({node: [id(e.target) for e in found if e.key is None] for node, found in self._all()})
        if cyclic:
            raise InvalidSchema("The schema refers to itself without going into the data: that says nothing about it.")
        return order

    def _evaluations(self) -> int:
        """How often subschemas are evaluated when each place of the data has one value; a recursion counts once."""
        components = self._components
        counted: dict[int, int] = {}
        # Components come after all that they lead to.
        for component, nodes in enumerate(self._component_nodes):
            total = 0
            for node in nodes:
                total += 1 + sum(
                    counted[components[id(edge.target)]]
                    for edge in self._edges[node]
                    if components[id(edge.target)] != component
                )
            counted[component] = min(total, EVALUATIONS_MAX + 1)
        return max(counted.values(), default=1)

    @cached_property
    def _growth(self) -> int:
        """How many times more often a recursive schema is evaluated with each level of the data; 1 for no more."""
        # The schemas that a node applies to the data it is given, itself included, with how often it does.
        applied: dict[Node, dict[Node, int]] = {}
        worst = 1
        for node in self._order_in_place:
            here = {node: 1}
            for edge in self._edges[node]:
                if edge.key is None:
                    for each, times in applied[id(edge.target)].items():
                        here[each] = min(here.get(each, 0) + times, EVALUATIONS_MAX)
            applied[node] = here
            by_key: dict[str, int] = {}
            for each, times in here.items():
                for edge in self._edges[each]:
                    if edge.key is not None and self._is_recursive(each, id(edge.target)):
                        by_key[edge.key] = by_key.get(edge.key, 0) + times
            anywhere = by_key.pop("*", 0)
            worst = max(worst, anywhere + max(by_key.values(), default=0))
        return worst

    def _is_recursive(self, node: Node, target: Node) -> bool:
        component = self._components[target]
        return self._components[node] == component

    @cached_property
    def _components(self) -> dict[Node, int]:
        return {node: place for place, nodes in enumerate(self._component_nodes) for node in nodes}

    @cached_property
    def _component_nodes(self) -> list[list[Node]]:
        return _components({node: [id(edge.target) for edge in found] for node, found in self._all()})

    def _all(self) -> Iterator[tuple[Node, list[Edge]]]:
        return iter(self._edges.items())


def _items(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _values(found: Any) -> list[Any]:
    return list(found.values()) if isinstance(found, dict) else []


def _unquoted(keyword: str) -> str:
    from urllib.parse import unquote

    return unquote(keyword)


def _ordered(graph: dict[Node, list[Node]]) -> tuple[list[Node], bool]:
    """Nodes, each after all that it leads to, and whether some node leads back to itself."""
    components = _components(graph)
    cyclic = any(len(nodes) > 1 or nodes[0] in graph[nodes[0]] for nodes in components)
    return [node for nodes in components for node in nodes], cyclic


def _components(graph: dict[Node, list[Node]]) -> list[list[Node]]:
    """Groups of nodes that lead to each other, each after those that it leads to (Tarjan, without recursion)."""
    number: dict[Node, int] = {}
    low: dict[Node, int] = {}
    stack: list[Node] = []
    on_stack: set[Node] = set()
    found: list[list[Node]] = []
    for start, leads_to in graph.items():
        if start in number:
            continue
        work: list[tuple[Node, Iterator[Node]]] = [(start, iter(leads_to))]
        number[start] = low[start] = len(number)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in number:
                    number[target] = low[target] = len(number)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(graph[target])))
                    break
                if target in on_stack:
                    low[node] = min(low[node], number[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    group: list[Node] = []
                    while not group or group[-1] != node:
                        group.append(stack.pop())
                        on_stack.discard(group[-1])
                    found.append(group)
    return found
