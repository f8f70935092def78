"""Which functions and projections a codec leaves working: the server reads no data for them."""

from collections.abc import Iterable, Iterator, Sequence

from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.projections.contract import InvalidProjection
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.projections.definition import ProjectionDefinition
from ironflow.sdk.values.codec import expression_reads_data


def check_codec(functions: Iterable[FunctionDefinition], projections: Sequence[ProjectionDefinition]) -> None:
    """Raises InvalidFunction, InvalidProjection for a setting that has the server read data."""
    for function in functions:
        if function.state is not None:
            raise InvalidFunction(
                f"function {function.id!r} is of an entity, whose state a codec does not encode. Run it with a worker "
                "without a codec."
            )
        for setting, text in _read_by_server(function):
            if text:
                raise InvalidFunction(
                    f"{setting} of function {function.id!r} reads data ({text[:80]!r}), which the codec hides from the "
                    "server. Leave it out, or run the function with a worker without a codec."
                )
    for projection in projections:
        if projection.partition_key:
            raise InvalidProjection(
                f"the partition key of projection {projection.name!r} reads data ({projection.partition_key!r}), which "
                "the codec hides from the server. Leave it out, or run the projection without a codec."
            )


def _read_by_server(function: FunctionDefinition) -> Iterator[tuple[str, str]]:
    """Settings with the path or expression by which the server reads data; empty for one that does not."""
    given = function.settings
    yield "actor_key", given.actor_key
    if given.concurrency is not None:
        yield "the key of concurrency", given.concurrency.key
    if given.debounce is not None:
        yield "the key of debounce", given.debounce.key
    if given.throttle is not None:
        yield "the key of throttle", given.throttle.key
    for spec in given.cancel_on:
        yield "cancel_on", spec.match
    for name, text in (("key", given.run_key), ("priority", given.priority)):
        yield name, text if expression_reads_data(text) else ""
    for trigger in given.triggers:
        yield "a trigger", trigger.expression if expression_reads_data(trigger.expression) else ""
