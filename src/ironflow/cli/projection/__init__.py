"""`ironflow projection`, `sql-projection` and `sql`: read models and queries."""
