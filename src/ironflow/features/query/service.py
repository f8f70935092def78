"""What happens: a query is checked, and asked beside the server's own work."""

import asyncio
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.sql import check_query
from ironflow.features.query import contract
from ironflow.features.query.views import SCOPES, TABLE_SCOPE, views_of
from ironflow.features.sql_projections.in_tx import tables
from ironflow.storage.port import Database
from ironflow.storage.sandbox import Answer, Question, Sandbox, Source

BYTES_MAX = 16 * 1024 * 1024


class Query:
    """Questions in SQL over one environment."""

    def __init__(self, db: Database, sandbox: Sandbox) -> None:
        self._db = db
        self._sandbox = sandbox

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.execute: self.execute, contract.tables: self.tables}

    async def execute(self, call: Call, request: contract.ExecuteSql) -> contract.SqlAnswer:
        sources = await self._sources(call.environment)
        # Parsing is slow enough to be noticed by others.
        statement = await asyncio.to_thread(check_query, request.query, self._sandbox.dialect, sources.keys())
        for table in statement.tables:
            call.require(SCOPES.get(table, TABLE_SCOPE))
        question = Question(
            [statement.sql],
            {name: sources[name] for name in statement.tables},
            timeout_ms=request.timeout_ms or contract.TIMEOUT_MS,
            rows_max=request.max_rows or contract.ROWS,
            bytes_max=BYTES_MAX,
        )
        (answer,) = await self._sandbox.ask(question)
        return contract.SqlAnswer(
            columns=answer.columns,
            types=answer.types,
            rows=[msgspec.Raw(b"[" + b",".join(map(bytes, row)) + b"]") for row in answer.rows],
            total_rows=len(answer.rows),
            truncated=answer.truncated,
        )

    async def tables(self, call: Call, _request: contract.ListSqlTables) -> contract.SqlTables:
        sources = await self._sources(call.environment)
        queries = [f"SELECT * FROM {name} LIMIT 0" for name in sources]
        question = Question(queries, sources, timeout_ms=contract.TIMEOUT_MS, rows_max=1, bytes_max=BYTES_MAX)
        answers = await self._sandbox.ask(question)
        found = [_table(name, answer) for name, answer in zip(sources, answers, strict=True)]
        return contract.SqlTables(tables=found, count=len(found))

    async def _sources(self, environment: str) -> dict[str, Source]:
        """The tables that a query may name: views of the server's tables, and the tables of SQL projections."""
        views = views_of(environment, self._sandbox.dialect)
        places = await self._db.read(lambda tx: tables(tx, environment))
        return {name: Source(sql) for name, sql in views.items()} | {
            table: Source(table, place) for table, place in places.items()
        }


def _table(name: str, answer: Answer) -> contract.SqlTable:
    columns = zip(answer.columns, answer.types, strict=True)
    return contract.SqlTable(name=name, columns=[contract.SqlColumn(name=each, type=kind) for each, kind in columns])
