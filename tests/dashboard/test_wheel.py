"""The wheel contains the built dashboard, although it is not committed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ironflow.dashboard.site import BUILT

ROOT = Path(__file__).parents[2]


def test_the_wheel_contains_the_built_files(tmp_path: Path):
    if not (BUILT / "index.html").is_file():
        pytest.skip("the dashboard is not built: `make dashboard` builds it")

    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)

    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "ironflow/dashboard/built/index.html" in names
    assert any(name.startswith("ironflow/dashboard/built/assets/index-") for name in names)
    assert not any("node_modules" in name for name in names)
