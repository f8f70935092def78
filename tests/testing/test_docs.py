"""The pages about testing: their tests pass, and what can be used is named in the reference."""

import dataclasses
import inspect
import re
import sys
from pathlib import Path

import pytest

import ironflow
from ironflow import testing

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "testing.md").read_text()


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.processes
def test_the_tests_of_the_guide_pass(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(ironflow.__file__).parents[1]))
    pytester.path.joinpath("test_guide.py").write_text("\n\n".join(blocks(DOCS / "guides" / "testing.md")))

    ended = pytester.runpytest_subprocess(
        "-p", "no:ironflow", "-p", "ironflow.testing.plugin", "-o", "asyncio_mode=auto", timeout=60
    )

    ended.assert_outcomes(passed=6)


@pytest.mark.processes
def test_the_tests_of_the_page_about_clients_and_projections_pass(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(ironflow.__file__).parents[1]))
    page = DOCS / "guides" / "testing-clients.md"
    pytester.path.joinpath("test_clients.py").write_text("\n\n".join(blocks(page)))

    ended = pytester.runpytest_subprocess(
        "-p", "no:ironflow", "-p", "ironflow.testing.plugin", "-o", "asyncio_mode=auto", timeout=60
    )

    ended.assert_outcomes(passed=6)


@pytest.mark.processes
def test_the_test_of_the_tutorial_passes_beside_the_project_that_init_writes(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(ironflow.__file__).parents[1]))
    (written,) = [block for block in blocks(DOCS / "tutorial" / "README.md") if "time_machine" in block]
    pytester.run(sys.executable, "-m", "ironflow", "init", "shop")
    shop = pytester.path / "shop"
    shop.joinpath("test_app.py").write_text(written)

    ended = pytester.runpytest_subprocess("-o", "asyncio_mode=auto", shop, timeout=60)

    ended.assert_outcomes(passed=1)


def public(kind: type) -> set[str]:
    fields = {each.name for each in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    return {name for name in {*vars(kind), *fields} if not name.startswith("_")}


FOR_THE_WORLD = {"exists", "shows", "look"}
NAMES = {
    *testing.__all__,
    *public(testing.TestClient),
    *public(testing.TestRun),
    *public(testing.TimeMachine),
    *public(testing.TimeMachineRun) - FOR_THE_WORLD,
    *public(testing.ServerProcess),
    *public(testing.Replayed),
    *inspect.signature(testing.replay).parameters,
    *inspect.signature(testing.time_machine).parameters,
    *inspect.signature(testing.TestClient).parameters,
}


def test_the_reference_names_all_there_is():
    assert {name for name in NAMES if not re.search(rf"\b{name}\b", REFERENCE)} == set()
