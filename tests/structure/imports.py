"""Every import of the source, wherever it stands: at the top, in a function or below TYPE_CHECKING."""

import ast
from collections.abc import Iterator
from pathlib import Path

import ironflow

SOURCE = Path(ironflow.__path__[0])


def module_of(path: Path) -> str:
    """The dotted name of a source file; a package for its `__init__.py`."""
    parts = ("ironflow", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """The modules of ours that a file imports, with the line. A name that is no module counts for its module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            target = name if name in MODULES else name.rpartition(".")[0]
            if target in MODULES:
                yield target, node.lineno
