"""Every declared operation, found by walking the features."""

import pkgutil
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import ironflow.features
from ironflow.base.operation import Operation, operations_of
from ironflow.base.socket import SocketRoute


def features() -> list[str]:
    return [each.name for each in pkgutil.iter_modules(ironflow.features.__path__) if each.ispkg]


def all_operations() -> list[Operation[Any, Any]]:
    found: list[Operation[Any, Any]] = []
    for feature in features():
        contract = f"ironflow.features.{feature}.contract"
        # A feature without operations, such as timers, has no contract.
        if find_spec(contract):
            found += operations_of(import_module(contract))
    return found


def name_of(operation: Operation[Any, Any]) -> str:
    return operation.name


def all_sockets() -> list[SocketRoute]:
    contracts = [f"ironflow.features.{feature}.contract" for feature in features()]
    modules = [import_module(contract) for contract in contracts if find_spec(contract)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, SocketRoute)]
