"""What other features do with schemas inside their own transactions."""

from ironflow.features.schemas.enforcing import SchemaGuard

__all__ = ["SchemaGuard"]
