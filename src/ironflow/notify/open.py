"""Chooses the notifier for a database."""

from ironflow.base.target import is_postgres
from ironflow.notify.port import LocalNotifier, Notifier


def open_notifier(target: str, node: str) -> Notifier:
    """The notifier for a `--db` value. node: the name of this process among its nodes. It is not started yet."""
    if not is_postgres(target):
        return LocalNotifier()
    from ironflow.notify.postgres import PostgresNotifier

    return PostgresNotifier(target, node)
