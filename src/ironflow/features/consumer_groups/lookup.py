"""Finding a group by its name, or saying clearly that there is none."""

from ironflow.base.call import Call
from ironflow.features.consumer_groups import contract, rules, store
from ironflow.features.consumer_groups.rules import Group
from ironflow.storage.port import Tx


def group_of(tx: Tx, call: Call, namespace: str, name: str, *, to_write: bool = False) -> Group:
    group = store.group_named(tx, call.environment, namespace or rules.NAMESPACE, name, to_write=to_write)
    if group is None:
        raise not_found(call, namespace, name)
    return group


def place_text(call: Call, namespace: str) -> str:
    """Where a group is looked for, for messages."""
    return f"namespace {namespace or rules.NAMESPACE!r} of environment {call.environment!r}"


def not_found(call: Call, namespace: str, name: str) -> contract.GroupNotFound:
    return contract.GroupNotFound(
        f"There is no consumer group {name!r} in {place_text(call, namespace)}. Create it first."
    )
