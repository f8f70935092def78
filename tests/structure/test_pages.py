"""Pages that promise something name the tests that hold it, and the code in them is sound."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SEMANTICS = (ROOT / "docs" / "reference" / "semantics.md").read_text()
# When, then, and the tests that hold it.
ROWS = re.findall(r"^\| (?!when|---)(.+?) \| (.+?) \| ((?:`[\w/]+\.py::\w+`(?:, )?)+) \|$", SEMANTICS, re.MULTILINE)
TESTS = {test for _, _, tests in ROWS for test in re.findall(r"`([\w/]+\.py)::(\w+)`", tests)}
CHANGES = sorted(path for path in (ROOT / "changes").glob("*.md") if path.name != "README.md")
GUIDES = [
    ROOT / "docs" / "guides" / f"{name}.md"
    for name in (
        "flow-control",
        "projections",
        "run-controls",
        "waiting-for-events",
        "coming-from-temporal",
        "coming-from-dbos",
        "coming-from-restate",
        "coming-from-inngest",
    )
]


@cache
def named_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_of_the_semantics_page_names_a_test():
    assert len(ROWS) == len(re.findall(r"^\| (?!when|---)", SEMANTICS, re.MULTILINE)) > 100


@pytest.mark.parametrize(("file", "name"), sorted(TESTS))
def test_the_tests_that_the_semantics_page_names_are_there(file: str, name: str):
    assert name in named_in(file)


def test_no_case_of_the_semantics_page_occurs_twice():
    cases = [
        (section, when) for section in SEMANTICS.split("\n## ")[1:] for when in re.findall(r"^\| (.+?) \|", section)
    ]
    assert len(cases) == len(set(cases))


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_code_in_the_guides_runs_as_far_as_it_defines_things(page: Path):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    known: dict[str, object] = {"__name__": "guide"}
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), known)


def test_every_guide_is_listed_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text()
    assert [page.name for page in (ROOT / "docs" / "guides").glob("*.md") if f"guides/{page.name})" not in index] == []


def test_handlers_in_the_pages_for_users_annotate_their_context():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("[!i]*/*.md")]
    bare = re.compile(r"def \w+\(ctx[,)]")
    code = {page.name: re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) for page in pages}
    assert {name for name, blocks in code.items() for block in blocks if bare.search(block)} == set()


@pytest.mark.parametrize("note", CHANGES, ids=lambda path: path.stem)
def test_a_note_of_a_change_begins_with_its_kind(note: Path):
    assert re.match(r"# (Added|Changed|Fixed|Removed|Security): \S", note.read_text())
