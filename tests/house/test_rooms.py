"""What a room remembers is its own."""

import ast
from pathlib import Path

import pytest

from ironflow import features
from tests.house.contracts import rooms

FEATURES = Path(features.__path__[0])


def imported(path: Path) -> set[str]:
    """Full names of the modules and members that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("room", rooms())
def test_a_room_never_reaches_into_the_memory_of_another(room: str):
    foreign = {
        f"{path.relative_to(FEATURES)}: {name}"
        for path in (FEATURES / room).rglob("*.py")
        for name in imported(path)
        if name.startswith("ironflow.features.") and name.split(".")[2] != room and "store" in name.split(".")[3:]
    }
    assert foreign == set()
