"""What other rooms may know of SQL projections inside their own transactions."""

from ironflow.features.sql_projections.store import slowest, tables

__all__ = ["slowest", "tables"]
