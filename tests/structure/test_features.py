"""Every feature introduces itself: its noun, its tables and the file to open first."""

import re
from pathlib import Path

import pytest

import ironflow.features
from tests.structure.contracts import features

FEATURES = Path(ironflow.features.__path__[0])


@pytest.mark.parametrize("feature", features())
def test_a_feature_names_its_tables_and_the_first_file(feature: str):
    text = (FEATURES / feature / "__init__.py").read_text()
    found = re.search(r"Tables that it writes: (none|(`\w+`(, )?)+)[.;]", text)
    first = re.search(r"First file to open: `(\w+\.py)`", text)

    assert found
    assert first
    assert (FEATURES / feature / first[1]).exists()
