"""The reference pages are what the program goes by."""

import pytest

from ironflow.server.reference import FOLDER, PAGES, operations


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_as_generated_from_the_code(name: str):
    assert (FOLDER / name).read_text() == PAGES[name](), "run: python -m ironflow.server.reference"


def test_every_operation_has_its_place_on_the_page():
    page = PAGES["rest.md"]()
    for operation in operations():
        assert page.count(f"\n### {operation.name}\n") == 1
