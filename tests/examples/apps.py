"""The examples' programs: loaded as modules, and run by workers in processes of their own."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ironflow.cli.process import Child
from ironflow.sync import Client
from tests.support.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


def load_app(name: str) -> ModuleType:
    """`app.py` of an example, as a module of its own name: they are all called `app`."""
    module_name = f"example_{name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(module_name, EXAMPLES / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def worker_process(name: str, client: Client, url: str) -> Iterator[None]:
    """`ironflow worker app.py:functions` in the example's folder, once the server knows its functions."""
    wanted = {each.id for each in load_app(name).functions}
    worker = Child(
        ["worker", "app.py:functions"],
        folder=EXAMPLES / name,
        output=subprocess.DEVNULL,
        environment={"IRONFLOW_SERVER_URL": url},
    )
    try:
        eventually(lambda: wanted <= {each.id for each in client.functions.list()})
        yield
    finally:
        worker.stop()
