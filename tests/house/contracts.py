"""Every declared operation, found by walking the rooms."""

import pkgutil
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ironflow import features
from ironflow.base.operation import Operation, operations_of


def rooms() -> list[str]:
    return [each.name for each in pkgutil.iter_modules(features.__path__) if each.ispkg]


def all_operations() -> list[Operation[Any, Any]]:
    found: list[Operation[Any, Any]] = []
    for room in rooms():
        contract = f"ironflow.features.{room}.contract"
        # A room of which nothing can be asked, such as timers, has no contract.
        if find_spec(contract):
            found += operations_of(import_module(contract))
    return found


def name_of(operation: Operation[Any, Any]) -> str:
    return operation.name
