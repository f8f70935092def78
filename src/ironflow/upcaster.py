"""What a program that reads old events imports: `from ironflow.upcaster import UpcasterRegistry`."""

from ironflow.sdk.values.definitions import EventDefinition, Upcaster, define_event
from ironflow.sdk.values.upcasting import EventDefinitionRegistry, UpcasterChainError, UpcasterRegistry

__all__ = [
    "EventDefinition",
    "EventDefinitionRegistry",
    "Upcaster",
    "UpcasterChainError",
    "UpcasterRegistry",
    "define_event",
]
