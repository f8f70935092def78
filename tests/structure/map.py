"""The map of the source: `python -m tests.structure.map` prints packages, the packages they import, and circles.

The packages of the whole, then those in `sdk` and in `cli`. Circles are looked for between packages and between
modules. Every import counts, also those in functions and below TYPE_CHECKING.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap

from tests.structure.imports import MODULES, imports_of

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


Layers = list[set[str]]


def _layers(contract: str) -> Layers:
    """The layers of an import contract in pyproject.toml, from the top down."""
    contracts = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (declared,) = [each["layers"] for each in contracts if each["id"] == contract]
    return [set(re.findall(r"\w+", line)) for line in declared]


LAYERS = _layers("layers")
# Large packages that have a map of their own, with their layers.
INSIDE = {"sdk": _layers("sdk-layers"), "cli": _layers("cli-layers")}
WIDTH = 96

Arrows = Mapping[str, set[str]]


def package_of(module: str) -> str:
    """`features.kv` for what is in a feature, else the name below `ironflow`; empty for `ironflow` itself."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2] if parts[:1] == ["features"] else parts[:1])


def arrows() -> dict[str, set[str]]:
    """The packages that each package imports."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        source = package_of(module)
        if source in ("", "__main__", "features"):
            continue
        targets = found.setdefault(source, set())
        targets.update(package_of(target) for target, _ in imports_of(path))
        targets -= {source, "", "features"}
    return found


def arrows_in(package: str) -> dict[str, set[str]]:
    """The packages and modules directly in a package, with those of the same package that each imports."""
    inside = f"ironflow.{package}."
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if module.startswith(inside):
            source = module.removeprefix(inside).split(".")[0]
            targets = found.setdefault(source, set())
            targets.update(
                target.removeprefix(inside).split(".")[0] for target, _ in imports_of(path) if target.startswith(inside)
            )
            targets.discard(source)
    return found


def module_arrows() -> dict[str, set[str]]:
    """The modules that each module imports, also those of its own package."""
    return {module: {target for target, _ in imports_of(path)} - {module} for module, path in MODULES.items()}


def circles(arrows: Arrows) -> list[list[str]]:
    """Groups of packages or modules that reach each other, each sorted."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for target in arrows.get(ahead.pop(), set()) - seen:
                seen.add(target)
                ahead.append(target)
        return seen

    reach = {name: reached(name) for name in arrows}
    groups = {
        tuple(sorted({name} | {other for other in reach[name] if name in reach.get(other, ())}))
        for name in arrows
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def layer_of(package: str, layers: Layers = LAYERS) -> int:
    """The index of a package's layer, 0 at the top."""
    top = package.split(".", maxsplit=1)[0]
    return next(index for index, names in enumerate(layers) if top in names)


def upward(arrows: Arrows, layers: Layers = LAYERS) -> list[str]:
    """Imports of a package of a higher layer."""
    return [
        f"{source} -> {target}"
        for source in sorted(arrows)
        for target in sorted(arrows[source])
        if layer_of(target, layers) < layer_of(source, layers)
    ]


def text(arrows: Arrows, layers: Layers = LAYERS) -> str:
    lines: list[str] = []
    for package in sorted(arrows, key=lambda each: (layer_of(each, layers), each)):
        names = " ".join(sorted(each.removeprefix("features.") for each in arrows[package]))
        lines += wrap(f"{package} -> {names or 'nothing'}", WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    count = sum(len(targets) for targets in arrows.values())
    lines.append(f"{len(arrows)} packages, {len(layers)} layers, {count} arrows")
    lines.append(f"circles of packages: {circles(arrows) or 'none'}")
    lines.append(f"arrows up: {upward(arrows, layers) or 'none'}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(text(arrows()))
    for package, inside in INSIDE.items():
        print(f"\nin {package}:\n{text(arrows_in(package), inside)}")
    print(f"circles of modules: {circles(module_arrows()) or 'none'}")
