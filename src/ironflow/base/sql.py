"""Which SQL of users is accepted: a few kinds of statement, over given tables and listed functions.

This is the first of three checks. It splits a statement strictly (`sqltext`), compares each name before a bracket with
a list (`sqlnames`), and parses it to find the kind of the statement, its tables and its node classes. The second check
is the access control of the database (storage/sandbox_*.py), the third are limits of time and rows.
Source: docs/reference/sql.md.
"""

import logging
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ironflow.base.sqlnames import (
    BEFORE_BRACKET,
    COLUMN_TYPES,
    FORBIDDEN_NAMES,
    FUNCTIONS,
    QUERY_NODES,
    TABLE_NODES,
    WRITE_NODES,
)
from ironflow.base.sqltext import DialectName, InvalidSql, Token, numbered, statements_of, tokens_of

if TYPE_CHECKING:
    from sqlglot import Expr, exp

TABLE_PREFIX = "proj_"
NAME_MAX = 60
TABLES_MAX = 8
STATEMENTS_MAX = 24


@dataclass(frozen=True, slots=True)
class Statement:
    """A checked statement. sql: for the driver, with `p0`, `p1`, … for `params`, in that order."""

    sql: str
    params: tuple[str, ...]
    tables: tuple[str, ...]


def check_query(text: str, dialect: DialectName, tables: Set[str]) -> Statement:
    """One SELECT over `tables`. Raises InvalidSql."""
    return _checked(_one(text, "The query"), dialect, "The query", QUERY_NODES, tables, _is_query, params=frozenset())


def check_fragments(table: str, where: str, order_by: str, dialect: DialectName) -> tuple[str, str]:
    """The conditions and the order of a question to `table`, as text for the driver. Raises InvalidSql."""
    cut: list[str] = []
    for text, what in ((where, "where"), (order_by, "order_by")):
        tokens = _several(text, what)
        if len(tokens) > 1:
            raise InvalidSql(f"{what} has a `;` in it. Write one expression.")
        cut.append(numbered(tokens[0], dialect)[0] if tokens else "")
    condition, order = cut
    whole = f"SELECT * FROM {table}"
    whole += f" WHERE ({where.strip().rstrip(';')}\n)" if condition else ""
    whole += f" ORDER BY {order_by.strip().rstrip(';')}" if order else ""
    _checked(
        _one(whole, "The question"), dialect, "The question", QUERY_NODES, {table}, _is_question, params=frozenset()
    )
    return condition, order


def check_handler(
    text: str, event: str, dialect: DialectName, tables: Set[str], params: Callable[[str], bool]
) -> Statement:
    """One INSERT, UPDATE or DELETE of `tables`; `params` says which parameter names there are. Raises InvalidSql."""
    what = f"The handler of {event!r}"
    tokens = _one(text, what)
    for token in tokens:
        if token.kind == "param" and not params(token.text[1:]):
            raise InvalidSql(
                f"{what} has {token.text}, which is no parameter. There are :data.<path>, :metadata.<path>, :data, "
                ":metadata, :event_id, :event_name, :event_version, :seq, :timestamp, :timestamp_ms, :source, "
                ":namespace, :environment, :run_id, :entity_type, :entity_id and :entity_version."
            )
    return _checked(tokens, dialect, what, WRITE_NODES, tables, _is_write)


def check_tables(text: str, dialect: DialectName) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """CREATE TABLE and CREATE INDEX statements of tables named proj_…: the statements and the tables' names.

    Raises InvalidSql.
    """
    statements = _several(text, "table_sql")
    names: list[str] = []
    texts: list[str] = []
    for tokens in statements:
        statement = _checked(tokens, dialect, "table_sql", TABLE_NODES, None, _is_creation, params=frozenset())
        if statement.tables[0] == "table":
            names.append(statement.tables[1])
        elif statement.tables[1] not in names:
            raise InvalidSql(f"table_sql makes an index on {statement.tables[1]}, which it does not create before.")
        texts.append(statement.sql)
    if not names:
        raise InvalidSql("table_sql creates no table. Write CREATE TABLE proj_… (…).")
    if len(set(names)) < len(names):
        raise InvalidSql("table_sql creates a table twice.")
    if len(names) > TABLES_MAX or len(texts) > STATEMENTS_MAX:
        raise InvalidSql(f"table_sql creates more than {TABLES_MAX} tables or {STATEMENTS_MAX - TABLES_MAX} indexes.")
    return tuple(texts), tuple(names)


# Reading strictly


def _several(text: str, what: str) -> list[list[Token]]:
    return statements_of(tokens_of(text, what))


def _one(text: str, what: str) -> list[Token]:
    statements = _several(text, what)
    if len(statements) != 1:
        raise InvalidSql(f"{what} is {'empty' if not statements else 'more than one statement'}. Write one statement.")
    return statements[0]


def _check_names(tokens: list[Token], what: str) -> None:
    """A name before a bracket is a listed one, a table of the projection, or declared by a WITH. Raises InvalidSql."""
    for position, token in enumerate(tokens):
        if token.name in FORBIDDEN_NAMES:
            raise InvalidSql(f"{what} has {token.text}, which is not accepted.")
        if token.kind not in ("name", "quoted") or position + 1 >= len(tokens) or tokens[position + 1].text != "(":
            continue
        name = token.name or token.text.strip('"').lower()
        if token.kind == "name" and name in BEFORE_BRACKET and tokens[position - 1].text != ".":
            continue
        if _is_table_before_columns(tokens, position, name) or _is_declared(tokens, position):
            continue
        raise InvalidSql(f"{what} calls {token.text}(), which is not accepted. docs/reference/sql.md lists what is.")


def _is_table_before_columns(tokens: list[Token], position: int, name: str) -> bool:
    """`INSERT INTO proj_x (`, `CREATE TABLE proj_x (`, `ON proj_x (`; nothing else begins with proj_."""
    return (
        name.startswith(TABLE_PREFIX)
        and position > 0
        and tokens[position - 1].name in ("into", "table", "exists", "on")
    )


def _is_declared(tokens: list[Token], position: int) -> bool:
    """`WITH name (a, b) AS (`, or `… AS name (a, b)`, where a call cannot stand."""
    before = tokens[position - 1].name if position else ""
    if before == "as":
        return True
    if before not in ("with", "recursive") and (not position or tokens[position - 1].text != ","):
        return False
    depth = 0
    for after in range(position + 1, len(tokens)):
        depth += (tokens[after].text == "(") - (tokens[after].text == ")")
        if not depth:
            # A call in a list of columns could be followed by AS and a name, not by AS and a bracket.
            following = [each.name or each.text for each in tokens[after + 1 : after + 3]]
            return following in (["as", "("], ["as", "materialized"], ["as", "not"])
    return False


# Parsing


def _checked(
    tokens: list[Token],
    dialect: DialectName,
    what: str,
    nodes: str,
    tables: Set[str] | None,
    kind: Callable[["Expr", str], tuple[str, ...]],
    params: Set[str] | None = None,
) -> Statement:
    _check_names(tokens, what)
    sql, names = numbered(tokens, dialect)
    if params is not None and names:
        raise InvalidSql(f"{what} has the parameter :{names[0]}, and nothing is bound here. Write the value itself.")
    tree = _parsed(numbered(tokens, "sqlite")[0], dialect, what)
    named = kind(tree, what)
    _check_nodes(tree, _classes(nodes), what)
    if tables is None:
        return Statement(sql, names, named)
    return Statement(sql, names, _check_tables_named(tree, tables, what))


def _parsed(text: str, dialect: DialectName, what: str) -> "Expr":
    import sqlglot
    from sqlglot.errors import SqlglotError

    # It warns about statements that it parses only as a `Command`; those are refused below.
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    try:
        trees = sqlglot.parse(text, read=dialect)
    except (SqlglotError, RecursionError) as fault:
        if isinstance(fault, RecursionError):
            raise InvalidSql(f"{what} is nested too deeply.") from None
        errors = getattr(fault, "errors", None)
        reason = errors[0].get("description") if errors else str(fault).splitlines()[0]
        raise InvalidSql(f"{what} is not valid SQL: {reason}") from None
    if len(trees) != 1 or trees[0] is None:
        raise InvalidSql(f"{what} is not one statement.")
    return trees[0]


@cache
def _classes(names: str) -> tuple[frozenset[type], tuple[type, ...]]:
    """Node classes that may occur: exactly these, and any kind of these."""
    from sqlglot import exp

    return frozenset(getattr(exp, name) for name in names.split()), (exp.Func, exp.Binary, exp.Unary)


def _check_nodes(tree: "Expr", classes: tuple[frozenset[type], tuple[type, ...]], what: str) -> None:
    from sqlglot import exp

    exact, kinds = classes
    for node in tree.walk():
        if type(node) not in exact and not isinstance(node, kinds):
            raise InvalidSql(f"{what} has {_node_name(node)}, which is not accepted here.")
        if isinstance(node, exp.DataType) and (
            not isinstance(node.this, exp.DataType.Type) or node.this.name not in COLUMN_TYPES
        ):
            raise InvalidSql(f"{what} has the type {node.sql()[:40]}, which is not accepted.")


def _node_name(node: "Expr") -> str:
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in type(node).__name__)
    return "a part that cannot be parsed" if type(node).__name__ == "Command" else f"a{spaced.lower()}"


def _check_tables_named(tree: "Expr", tables: Set[str], what: str) -> tuple[str, ...]:
    """The given tables that occur, each once, in order."""
    from sqlglot import exp

    declared = {_declared_name(each, what, tables) for each in tree.find_all(exp.CTE)}
    found: dict[str, None] = {}
    for node in tree.find_all(exp.Table):
        if isinstance(node.this, exp.Func):
            if node.this.name.lower() not in FUNCTIONS and node.this.sql_name().lower() not in FUNCTIONS:
                raise InvalidSql(f"{what} reads from the function {node.this.name}, which is not accepted.")
            continue
        if node.args.get("db") or node.args.get("catalog"):
            raise InvalidSql(f"{what} names {node.sql()[:80]}: write a table's name without a schema.")
        name = node.name if node.this.args.get("quoted") else node.name.lower()
        if name in tables:
            found[name] = None
        elif name not in declared:
            raise InvalidSql(f"{what} names {node.name[:60]!r}. It may use {', '.join(sorted(tables)) or 'no table'}.")
    return tuple(found)


def _declared_name(node: "Expr", what: str, tables: Set[str]) -> str:
    name = node.alias.lower()
    if name in tables or name.startswith(("pg_", "sqlite_", "ironflow", "information_schema")):
        raise InvalidSql(f"{what} gives the name {name!r} to a WITH; choose another one.")
    return name


# Kinds of statement


def _is_query(tree: "Expr", what: str) -> tuple[str, ...]:
    from sqlglot import exp

    if not isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
        raise InvalidSql(f"{what} is not a SELECT. Only reading is possible here.")
    return ()


def _is_question(tree: "Expr", what: str) -> tuple[str, ...]:
    """A SELECT with nothing but conditions and an order."""
    parts = {name.rstrip("_") for name, value in tree.args.items() if value}
    if not _is_query(tree, what) and parts <= {"expressions", "from", "where", "order"}:
        return ()
    raise InvalidSql(f"{what} has more than conditions in where, and more than columns in order_by.")


def _is_write(tree: "Expr", what: str) -> tuple[str, ...]:
    from sqlglot import exp

    if not isinstance(tree, (exp.Insert, exp.Update, exp.Delete)):
        raise InvalidSql(f"{what} is not an INSERT, UPDATE or DELETE.")
    for node in tree.walk():
        if node is not tree and isinstance(node, (exp.Insert, exp.Update, exp.Delete)):
            raise InvalidSql(f"{what} changes rows inside of another statement.")
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(target, exp.Table) or not target.name.lower().startswith(TABLE_PREFIX):
        raise InvalidSql(f"{what} writes to {target.sql()[:60]!r}, which is no table of this projection.")
    return ()


def _is_creation(tree: "Expr", what: str) -> tuple[str, ...]:
    """("table" or "index", the table's name)."""
    from sqlglot import exp

    kind = str(tree.args.get("kind") or "").lower() if isinstance(tree, exp.Create) else ""
    if kind not in ("table", "index"):
        raise InvalidSql(f"{what} takes CREATE TABLE and CREATE INDEX only.")
    parts = {name for name, value in tree.args.items() if value}
    if not parts <= {"this", "kind", "exists", "unique"}:
        raise InvalidSql(f"{what} has {', '.join(sorted(parts - {'this', 'kind', 'exists', 'unique'}))} in a CREATE.")
    named = list(_created_tables(tree))
    if len(named) != 1:
        raise InvalidSql(f"{what}: a CREATE names one table.")
    table = named[0]
    name = table.name if table.this.args.get("quoted") else table.name.lower()
    if table.args.get("db") or not name.startswith(TABLE_PREFIX) or len(name) > NAME_MAX or name != name.lower():
        raise InvalidSql(
            f"{what} names {table.sql()[:80]}: a table's name begins with proj_, in lower case, without a schema."
        )
    if kind == "table" and not isinstance(tree.this, exp.Schema):
        raise InvalidSql(f"{what} creates {name} without naming its columns.")
    if kind == "table" and any(not isinstance(each, exp.Expr) for each in tree.this.expressions):
        raise InvalidSql(f"{what} has columns that cannot be read.")
    return (kind, name)


def _created_tables(tree: "Expr") -> Iterator["exp.Table"]:
    from sqlglot import exp

    yield from tree.find_all(exp.Table)
