"""What a user imports is there, and importing it is cheap."""

import subprocess
import sys
from importlib import import_module

import pytest

import ironflow

IMPORT_MS_MAX = 100
CPU = "import resource; used = resource.getrusage(resource.RUSAGE_SELF); print((used.ru_utime + used.ru_stime) * 1000)"


def cpu_ms(program: str) -> float:
    """CPU that a fresh interpreter spends on `program`, the best of five tries."""
    tries = [
        subprocess.run([sys.executable, "-c", f"{program}\n{CPU}"], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    return min(float(each.stdout) for each in tries)


@pytest.mark.parametrize("name", ironflow.__all__)
def test_a_public_name_can_be_imported(name: str):
    assert getattr(ironflow, name) is not None


def test_public_names_are_in_order():
    assert sorted(ironflow.__all__) == list(ironflow.__all__)


PUBLIC = (
    "constants", "core", "errors", "patterns", "projection", "protocol", "serve", "signing", "sync",
    "webhooks", "worker",
)  # fmt: skip


@pytest.mark.parametrize("module", [f"ironflow.{each}" for each in PUBLIC])
def test_a_public_module_lists_what_it_exports(module: str):
    public = import_module(module)
    assert public.__doc__
    assert [name for name in public.__all__ if not hasattr(public, name)] == []


def test_importing_ironflow_takes_under_100_ms_of_cpu():
    assert cpu_ms("import ironflow") - cpu_ms("pass") < IMPORT_MS_MAX
