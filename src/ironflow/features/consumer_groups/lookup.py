"""Finding a group by its name."""

from ironflow.base.call import Call
from ironflow.features.consumer_groups import contract, rules, store
from ironflow.features.consumer_groups.rules import Group
from ironflow.storage.port import Tx


def group_of(tx: Tx, call: Call, namespace: str, name: str, *, to_write: bool = False) -> Group:
    group = store.group_named(tx, call.environment, namespace or rules.NAMESPACE, name, to_write=to_write)
    if group is None:
        raise not_found(call, namespace, name)
    return group


def location_text(call: Call, namespace: str) -> str:
    """Namespace and environment, for error messages."""
    return f"namespace {namespace or rules.NAMESPACE!r} of environment {call.environment!r}"


def not_found(call: Call, namespace: str, name: str) -> contract.GroupNotFound:
    return contract.GroupNotFound(
        f"There is no consumer group {name!r} in {location_text(call, namespace)}. Create it first."
    )
