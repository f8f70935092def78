# Generated from ironflow/sdk/client/features/sql_projections.py by generate_sync; edit that file.
"""`client.sql_projections`: tables that the server keeps up to date from events."""

from collections.abc import Mapping, Sequence
from typing import Any

from ironflow.base.duration import Duration
from ironflow.features.sql_projections import contract
from ironflow.features.sql_projections.contract import SqlProjection, SqlProjectionDetails, SqlRebuildStarted
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.values.payload import from_payload
from ironflow.sdk.values.sql_result import SqlResult


class SqlProjections:
    """SQL projections."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(
        self,
        name: str,
        *,
        table: str,
        on: Mapping[str, str],
        events: Sequence[str] = (),
        description: str = "",
    ) -> str:
        """Makes a projection, or changes it; answers `created`, `updated`, `rebuilding` or `unchanged`.

        table: CREATE TABLE proj_… and CREATE INDEX statements. on: event name or pattern to one INSERT, UPDATE or
        DELETE with parameters such as `:data.amount`. events: what is followed, where that is less than `on` has.
        Raises InvalidSqlProjection, InvalidSql, TableTaken.
        """
        request = contract.CreateSqlProjection(
            name=name, table_sql=table, event_handlers=dict(on), events=list(events), description=description
        )
        return (self._calls.call(contract.create, request)).status

    def query(
        self,
        name: str,
        *,
        where: str = "",
        order_by: str = "",
        limit: int = 100,
        offset: int = 0,
        timeout: Duration | None = None,
    ) -> SqlResult:
        """Rows of the projection's first table. where, order_by: SQL over its columns.

        Exact decimals and integers above 2^53 are texts. Raises SqlProjectionNotFound, InvalidSql.
        """
        request = contract.QuerySqlProjection(name=name, where=where, order_by=order_by, limit=limit, offset=offset)
        found = self._calls.call(contract.query, request, timeout=timeout)
        rows = [[from_payload(cell) for cell in row.typed_values] for row in found.rows]
        return SqlResult(columns=found.columns, rows=rows, total_count=found.total_count)

    def list(self, *, page_size: int = 100) -> Listing[SqlProjection]:
        """Every SQL projection by name."""
        return Listing(
            self._calls, contract.list_, contract.ListSqlProjections(limit=page_size), lambda page: page.projections
        )

    def get(self, name: str) -> SqlProjectionDetails:
        """One projection with its status, lag and what it was created from. Raises SqlProjectionNotFound."""
        return self._calls.call(contract.get, contract.NamedSqlProjection(name=name))

    def rebuild(self, name: str, *, dry_run: bool = False) -> SqlRebuildStarted:
        """Fills a new version of the tables from the whole log; readers keep the old one until it has caught up.

        Raises SqlProjectionNotFound.
        """
        return self._calls.call(contract.rebuild, contract.RebuildSqlProjection(name=name, dry_run=dry_run))

    def cancel_rebuild(self, name: str) -> str:
        """Drops the version that is being filled; answers the status. Raises SqlProjectionNotFound, NoRebuild."""
        return self._named(contract.cancel_rebuild, name)

    def pause(self, name: str) -> str:
        """Applies nothing more; answers the status. Raises SqlProjectionNotFound."""
        return self._named(contract.pause, name)

    def resume(self, name: str) -> str:
        """Goes on after a pause or an error; answers the status. Raises SqlProjectionNotFound."""
        return self._named(contract.resume, name)

    def delete(self, name: str) -> None:
        """Deletes a projection with its tables; the events stay. Raises SqlProjectionNotFound."""
        self._named(contract.delete, name)

    def _named(self, operation: Any, name: str) -> str:
        return (self._calls.call(operation, contract.NamedSqlProjection(name=name))).status
