"""What other rooms may know of SQL projections inside their own transactions."""

from ironflow.features.sql_projections.store import tables

__all__ = ["tables"]
