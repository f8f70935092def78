"""Packages import each other downwards; neither packages nor modules form a circle, by whatever kind of import."""

from pathlib import Path

import pytest

from tests.structure.imports import imports_of
from tests.structure.map import INSIDE, WIDTH, arrows, arrows_in, circles, module_arrows, text, upward

ARROWS = arrows()


def test_no_packages_import_each_other_in_a_circle():
    assert circles(ARROWS) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circles(module_arrows()) == []


def test_imports_in_functions_and_below_type_checking_count(tmp_path: Path):
    module = tmp_path / "module.py"
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from ironflow.base.duration import Duration\n"
        "def later():\n    from ironflow.base import errors\n"
    )
    assert {target for target, _ in imports_of(module)} == {"ironflow.base.duration", "ironflow.base.errors"}


def test_no_package_imports_a_higher_layer():
    assert upward(ARROWS) == []


@pytest.mark.parametrize("package", INSIDE)
def test_a_large_package_is_in_folders_without_circles_and_upward_imports(package: str):
    inside = arrows_in(package)

    assert circles(inside) == []
    assert upward(inside, INSIDE[package]) == []


def test_a_circle_and_an_arrow_up_are_found():
    drawn = {"features.kv": {"features.jobs"}, "features.jobs": {"log"}, "log": {"features.kv"}}
    assert circles(drawn) == [["features.jobs", "features.kv", "log"]]
    assert upward(drawn) == ["log -> features.kv"]


def test_the_map_fits_a_terminal():
    assert max(len(line) for line in text(ARROWS).splitlines()) <= WIDTH
