"""The page that says where things are decided is true and complete."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "ironflow"
PAGE = (ROOT / "docs" / "internals" / "where.md").read_text()
PLACES = re.findall(r"`([\w/]+\.py)`(?: `(\w+)`)?", PAGE)


@pytest.mark.parametrize(("file", "name"), [place for place in PLACES if place[0] != "loops.py"])
def test_what_the_page_names_is_there(file: str, name: str):
    text = (SOURCE / file).read_text()
    assert not name or re.search(rf"^\s*(async )?(def|class) {name}\b", text, re.MULTILINE)


def test_every_decision_is_on_the_page():
    decisions = {
        (str(path.relative_to(SOURCE)), name)
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r"^def (decide_\w+|check_\w+)", path.read_text(), re.MULTILINE)
    }
    assert decisions - set(PLACES) == set()
