"""The pages about the SDK: their code is sound, and what can be imported and called is named in the reference."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import ironflow
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.features.kv import KvBucket
from ironflow.sdk.definition.controls import CancelOn, CircuitBreaker, Concurrency, Debounce, Retry, Throttle
from ironflow.sdk.durable.steps.steps import Steps
from ironflow.sdk.worker.timing import WorkerTiming
from ironflow.sdk.worker.worker import Worker

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "guides" / f"{name}.md" for name in ("functions-and-steps", "workers", "client")]
REFERENCE = (DOCS / "reference" / "sdk.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_in_the_guides_runs_as_far_as_it_defines_things(page):
    known = {"Worker": Worker, "greet": None, "__name__": "guide"}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)

    assert blocks
    for block in blocks:
        code = compile(block, page.name, "exec")
        if "with ironflow.sync" not in block:
            exec(code, known)


def public(kind):
    return [name for name in vars(kind) if not name.startswith("_")]


def features():
    return {name: type(feature) for name, feature in vars(Client("http://x")).items() if not name.startswith("_")}


NAMES = [
    *ironflow.__all__,
    *inspect.signature(ironflow.function).parameters,
    *(
        each.name
        for kind in (Retry, Concurrency, Debounce, Throttle, CancelOn, CircuitBreaker, WorkerTiming)
        for each in fields(kind)
    ),
    *public(Steps),
    *public(Worker),
    *public(Client),
    *public(KvBucket),
    *(f"{feature}.{method}" for feature, kind in features().items() for method in public(kind)),
]


def test_the_reference_has_each_method_of_handlers_and_each_setting_of_functions():
    steps = [name for name, _ in inspect.getmembers(Steps, inspect.isfunction) if not name.startswith("_")]
    context = [name for name in dir(ironflow.Context) if not name.startswith("_")]
    settings = REFERENCE.partition("## `@function")[2].partition("\n## ")[0]

    assert {"receive", "invoke", "wait_any"} < set(steps)
    assert [name for name in steps if f"`{name}(" not in REFERENCE] == []
    assert [name for name in context if f"ctx.{name}" not in REFERENCE] == []
    assert [name for name in inspect.signature(ironflow.function).parameters if f"`{name}`" not in settings] == []


def test_the_reference_names_all_there_is():
    assert [name for name in NAMES if not re.search(rf"\b{re.escape(name)}\b", REFERENCE)] == []
