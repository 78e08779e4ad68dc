"""SQL that a model wrote, run so that it can read only what its customer may see.

    parsed      one SELECT, taken apart by a parser; every part of it must be on a list (a part not listed is refused)
    narrowed    each table is replaced by the authenticated customer's rows and columns: the model's text has no say
    written     the statement that runs is written anew from its parts; the model's text itself never runs
    watched     read-only connection, an authorizer in SQLite that knows the same lists, a limit on time and rows

The first three are enough; the fourth is there for the day on which one of them has a gap. Not covered: joins,
subqueries, unions, WITH and window functions. One customer's orders need none of them.
"""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from . import acme
from .errors import CallerError
from .events import Turn, User
from .tools import tool

if TYPE_CHECKING:
    from sqlglot import exp

ROWS = 50
SECONDS = 1.0
LONGEST = 2_000  # characters of a statement

# What the model may name. `tenant` and `customer` are columns, too, and not in here: those are ours to compare.
TABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "orders": (
            "id", "placed", "status", "express", "subtotal", "shipping", "total", "currency", "carrier", "tracking",
            "promised", "delivered", "returned", "refunded",
        ),
        "items": ("order_id", "sku", "quantity", "unit_price"),
    }
)  # fmt: skip
# As SQLite calls them, and as the parser does.
_FUNCTIONS = "count sum avg min max round abs coalesce lower upper length substr substring like date strftime julianday"
FUNCTIONS = frozenset(_FUNCTIONS.split())
_LISTED = """
    select from table tablealias column identifier alias star literal null boolean where group having order ordered
    limit offset distinct and or not paren eq neq gt gte lt lte between in like is neg add sub mul div case if cast
    datatype count sum avg min max round abs coalesce lower upper length substring date strftime julianday timetostr
    tsordstodate tsordstotimestamp anonymous
"""
_PARTS = frozenset(_LISTED.split())


def guard(sql: str, user: User) -> tuple[str, dict[str, Any]]:
    """The statement to run in place of `sql`, with its parameters. Raises CallerError that says what is not allowed."""
    from sqlglot import exp

    statement = _parsed(sql)
    for node in statement.walk():
        if node.key not in _PARTS:
            raise _refused(f"{node.key.upper()} is not allowed")
        if isinstance(node, exp.Anonymous | exp.Func) and _name(node) not in FUNCTIONS | {
            "and",
            "or",
            "case",
            "if",
            "cast",
        }:
            raise _refused(f"the function {_name(node)} is not allowed")
    source = statement.args.get("from_") or statement.args.get("from")
    table = source.this if source else None
    if not isinstance(table, exp.Table) or table.db or table.catalog or table.name.lower() not in TABLES:
        raise _refused(f"it must read from one of {', '.join(TABLES)}")
    if len(list(statement.find_all(exp.Table))) != 1 or any(
        table.args.get(key) for key in ("joins", "pivots", "hints")
    ):
        raise _refused("it must read from one table")
    columns, names = TABLES[table.name.lower()], {table.name.lower(), table.alias.lower()}
    own = {one.alias.lower() for one in statement.selects if isinstance(one, exp.Alias)}
    for column in statement.find_all(exp.Column):
        known = column.name.lower() in columns or (column.name.lower() in own and not column.table)
        starred = isinstance(column.this, exp.Star)
        if not (known or starred) or (column.table and column.table.lower() not in names) or column.db:
            raise _refused(f"there is no column {column.sql()!r}; there are {', '.join(columns)}")
    _limit(statement)
    listed = ", ".join(f'"{name}"' for name in columns)
    theirs = f'(SELECT {listed} FROM "{table.name.lower()}" WHERE "tenant" = :tenant AND "customer" = :customer)'
    marker = "narrowed_source"
    table.replace(exp.alias_(exp.to_table(marker), table.alias or table.name, table=True))
    written = statement.sql(dialect="sqlite", comments=False)
    if written.count(marker) != 1:
        raise _refused("it names what is ours")
    return written.replace(marker, theirs), {"tenant": user.tenant, "customer": user.id}


def _parsed(sql: str) -> "exp.Select":
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if len(sql) > LONGEST or "\0" in sql:
        raise _refused(f"it must be plain text of at most {LONGEST} characters")
    try:
        if any(token.comments for token in sqlglot.tokenize(sql, read="sqlite")) or "/*" in sql or "--" in sql:
            raise _refused("comments are not allowed")
        statements = sqlglot.parse(sql, read="sqlite")
    except (SqlglotError, RecursionError):
        raise _refused("it is no SQL that can be read") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise _refused("it must be one SELECT")
    return statements[0]


def _name(node: Any) -> str:
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return str(node.this).lower()
    named = {"substring": "substr", "timetostr": "strftime", "tsordstodate": "date", "tsordstotimestamp": "date"}
    return str(named.get(node.key, node.key))


def _limit(statement: "exp.Select") -> None:
    """At most `ROWS` rows, whatever was asked for."""
    from sqlglot import exp

    for key in ("limit", "offset"):
        asked = statement.args.get(key)
        number = asked.expression if asked else None
        if asked and not (isinstance(number, exp.Literal) and not number.is_string and str(number.this).isdigit()):
            raise _refused(f"the {key} must be a plain number")
    asked = statement.args.get("limit")
    most = min(int(asked.expression.this), ROWS) if asked else ROWS
    statement.set("limit", exp.Limit(expression=exp.Literal.number(most)))


def _refused(why: str) -> CallerError:
    return CallerError(
        f"This SQL is refused: {why}.", "Write one simple SELECT over the listed columns.", "bad_request"
    )


# running it


def run(sql: str, user: User, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """The rows of the customer that `sql` asks for. Raises CallerError."""
    statement, parameters = guard(sql, user)
    return read_only(statement, parameters, seconds)


def read_only(statement: str, parameters: Mapping[str, Any], seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Run a statement behind the second line alone: read-only, authorized by SQLite, limited in time and rows."""
    until = time.monotonic() + seconds
    with closing(sqlite3.connect(":memory:")) as db:
        db.deserialize(_tables(acme.data_folder()))
        db.execute("PRAGMA query_only = ON")
        db.row_factory = sqlite3.Row
        db.set_authorizer(_authorize)
        db.set_progress_handler(lambda: time.monotonic() > until, 1_000)
        try:
            return [dict(row) for row in db.execute(statement, dict(parameters)).fetchmany(ROWS)]
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            raise CallerError(f"The database refused it: {error}.", "Write a simpler SELECT.", "bad_request") from None


def _authorize(action: int, first: str | None, second: str | None, database: str | None, origin: str | None) -> int:
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and first is not None and first in TABLES:
        readable = (*TABLES[first], "tenant", "customer", "")  # "": no column in particular, as in count(*)
        return sqlite3.SQLITE_OK if second in readable else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


@cache
def _tables(data: Path) -> bytes:
    """The orders as tables, in memory only: a copy on the disk would be one more place to forget somebody in."""
    with closing(sqlite3.connect(":memory:")) as db:
        for name, columns in TABLES.items():
            listed = ", ".join(f'"{column}"' for column in ("tenant", "customer", *columns))
            db.execute(f'CREATE TABLE "{name}" ({listed})')
        for order in acme.orders().values():
            whose = (order["tenant"], order["customer"])
            _insert(db, "orders", (*whose, *(order[column] for column in TABLES["orders"])))
            for item in order["items"]:
                _insert(db, "items", (*whose, order["id"], item["sku"], item["quantity"], item["unit_price"]))
        db.commit()
        return db.serialize()


def _insert(db: sqlite3.Connection, table: str, values: tuple[Any, ...]) -> None:
    db.execute(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(values))})', values)


@tool
def query_orders(
    sql: Annotated[
        str,
        Field(
            max_length=LONGEST,
            description="One SQLite SELECT over "
            + " or ".join(f"{name} ({', '.join(TABLES[name])})" for name in TABLES),
        ),
    ],
    turn: Turn,
) -> list[dict[str, Any]]:
    """Count, add up or list the customer's own orders: how many, how much in all, which are on their way."""
    return run(sql, turn.user)
