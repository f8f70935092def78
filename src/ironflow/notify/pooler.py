"""Whether a pooler, such as pgbouncer, stands between this program and PostgreSQL.

With one, a transaction may meet another session than the last one: statements that were prepared are not there, and
notifications do not arrive.
"""

import logging

import psycopg

logger = logging.getLogger(__name__)

SESSION = b"SELECT pg_backend_pid()"


def is_pooled(connection: psycopg.BaseConnection[tuple[int]], session: tuple[int] | None) -> bool:
    """session: the row of SESSION. A pooler makes up the process ids that it gives to its clients."""
    return session is not None and session[0] != connection.info.backend_pid
