"""What `--db` means."""


def is_postgres(target: str) -> bool:
    """Whether the target is a PostgreSQL address; otherwise it is the path of a SQLite file."""
    return target.startswith(("postgres://", "postgresql://"))
