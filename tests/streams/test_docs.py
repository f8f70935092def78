"""The code in the guide is code."""

import ast
import re
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "streams.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_code_in_the_guide_can_be_read(block: str):
    compile(block, "streams.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
