"""What other features do with values inside their own transactions."""

from ironflow.features.values.rules import run_values

__all__ = ["run_values"]
