"""The map of the source: `python -m tests.structure.map` prints packages, the packages they import, and circles.

Circles are looked for between packages and between modules. Every import counts, also those in functions and below
TYPE_CHECKING.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap

from tests.structure.imports import MODULES, imports_of

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def _layers() -> list[set[str]]:
    """The layers of the import contract `layers` in pyproject.toml, from the top down.

    Packages of one layer do not import each other.
    """
    contracts = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (declared,) = [each["layers"] for each in contracts if each["id"] == "layers"]
    return [set(re.findall(r"\w+", line)) for line in declared]


LAYERS = _layers()
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


def layer_of(package: str) -> int:
    """The index of a package's layer, 0 at the top."""
    top = package.split(".", maxsplit=1)[0]
    return next(index for index, names in enumerate(LAYERS) if top in names)


def upward(arrows: Arrows) -> list[str]:
    """Imports of a package of a higher layer."""
    return [
        f"{source} -> {target}"
        for source in sorted(arrows)
        for target in sorted(arrows[source])
        if layer_of(target) < layer_of(source)
    ]


def text(arrows: Arrows) -> str:
    lines: list[str] = []
    for package in sorted(arrows, key=lambda each: (layer_of(each), each)):
        names = " ".join(sorted(each.removeprefix("features.") for each in arrows[package]))
        lines += wrap(f"{package} -> {names or 'nothing'}", WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    lines.append(f"circles of packages: {circles(arrows) or 'none'}")
    lines.append(f"arrows up: {upward(arrows) or 'none'}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(text(arrows()))
    print(f"circles of modules: {circles(module_arrows()) or 'none'}")
