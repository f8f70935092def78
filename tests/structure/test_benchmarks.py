"""Every benchmark can be asked for, and the page says what it asks."""

from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, ON_REQUEST

ROOT = Path(__file__).parents[2]
QUESTIONS = sorted(
    each.stem
    for each in (ROOT / "benchmarks").glob("*.py")
    if "async def run(workspace: Workspace)" in each.read_text()
)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_benchmark_has_a_name_that_runs_it_and_a_line_on_the_page(name: str):
    assert name in (*NAMES, *ON_REQUEST)
    page = (ROOT / "docs" / "internals" / "benchmarks.md").read_text()
    assert f"| `{name}` |" in page or f"benchmarks {name} " in page


def test_no_name_is_without_a_benchmark():
    assert {*NAMES, *ON_REQUEST} == {*QUESTIONS}
