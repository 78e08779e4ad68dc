"""SQL of a model reads the customer's own orders, and nothing else, whatever it says."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patterns import acme, sql_guard
from patterns.errors import CallerError
from patterns.events import Turn, User

ANN = acme.user("C-0001")
OWN = {name for name, order in acme.orders().items() if order["customer"] == ANN.id}
FOREIGN = {
    str(order[key])
    for order in acme.orders().values()
    if order["customer"] != ANN.id
    for key in ("id", "tracking", "customer")
    if order[key]
}

ALLOWED = [
    ("SELECT count(*) AS n FROM orders", [{"n": len(OWN)}]),
    ("select id from orders where id = 'H-100001';", [{"id": "H-100001"}]),
    ("SELECT o.id FROM orders AS o WHERE o.id = 'H-100007' OR 1=1 ORDER BY o.id LIMIT 1", [{"id": "H-100001"}]),
    ("SELECT id FROM orders WHERE id = 'H-100002'", []),
    ("SELECT status, round(sum(total), 2) AS t FROM orders WHERE id = 'H-100001' GROUP BY status HAVING count(*) > 0",
     [{"status": "delivered", "t": 57.0}]),
    ("SELECT strftime('%Y', placed) AS year FROM orders WHERE id = 'H-100001'", [{"year": "2025"}]),
    ("SELECT CASE WHEN total > 50 THEN 'much' ELSE 'little' END AS how FROM orders WHERE id = 'H-100001'",
     [{"how": "much"}]),
    ("SELECT sum(quantity * unit_price) AS worth FROM items WHERE order_id = 'H-100001'", [{"worth": 57.0}]),
    ("SELECT upper(substr(carrier, 1, 4)) AS c FROM orders WHERE tracking LIKE 'TP9803%'", [{"c": "TERN"}]),
    ("SELECT id FROM orders WHERE refunded IS NULL AND id IN ('H-100001', 'H-100003')", [{"id": "H-100001"}]),
    ("SELECT DISTINCT currency FROM orders WHERE NOT total BETWEEN 1 AND 2", [{"currency": "USD"}]),
    ("SELECT coalesce(returned, '-') AS r FROM orders WHERE id = 'H-100001'", [{"r": "-"}]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "rows"), ALLOWED)
def test_what_customers_ask_is_answered(sql: str, rows: list[dict[str, Any]]) -> None:
    assert sql_guard.run(sql, ANN) == rows


REFUSED = """
SELECT id FROM orders; DROP TABLE orders
SELECT id FROM orders; SELECT id FROM orders
DROP TABLE orders
DELETE FROM orders
UPDATE orders SET total = 0
INSERT INTO orders (id) VALUES ('x')
REPLACE INTO orders (id) VALUES ('x')
CREATE TABLE mine AS SELECT * FROM orders
ALTER TABLE orders ADD COLUMN x
ATTACH DATABASE 'other.db' AS x
DETACH DATABASE main
PRAGMA table_info(orders)
PRAGMA query_only = 0
VACUUM INTO '/tmp/copy.db'
ANALYZE
REINDEX
BEGIN
EXPLAIN SELECT id FROM orders
SELECT id FROM orders -- WHERE customer = 1
SELECT id FROM orders /* all */
SELECT/**/id FROM orders
SELECT id FROM orders UNION SELECT name FROM sqlite_master
SELECT id FROM orders UNION ALL SELECT id FROM orders
SELECT id FROM orders INTERSECT SELECT id FROM orders
SELECT id FROM orders EXCEPT SELECT id FROM orders
WITH x AS (SELECT * FROM orders) SELECT * FROM x
WITH orders AS (SELECT * FROM main.orders) SELECT * FROM orders
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n
SELECT id FROM (SELECT id FROM orders)
SELECT id FROM orders WHERE id IN (SELECT id FROM orders)
SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM orders)
SELECT (SELECT count(*) FROM orders) FROM orders
SELECT a.id FROM orders a, orders b
SELECT a.id FROM orders a JOIN orders b ON 1 = 1
SELECT a.id FROM orders a LEFT JOIN items i ON i.order_id = a.id
SELECT id FROM orders NATURAL JOIN items
SELECT * FROM sqlite_master
SELECT * FROM sqlite_schema
SELECT * FROM main.orders
SELECT * FROM temp.orders
SELECT * FROM pragma_table_info('orders')
SELECT value FROM json_each('[1]')
SELECT * FROM customers
SELECT customer FROM orders
SELECT tenant, id FROM orders
SELECT "customer" FROM orders
SELECT [customer] FROM orders
SELECT `customer` FROM orders
SELECT o.customer FROM orders o
SELECT id FROM orders WHERE customer = 'C-0002'
SELECT id FROM orders ORDER BY customer
SELECT id FROM orders GROUP BY id HAVING max(tenant) > ''
SELECT rowid FROM orders
SELECT load_extension('/tmp/x.so') FROM orders
SELECT readfile('/etc/passwd') FROM orders
SELECT writefile('/tmp/x', 'y') FROM orders
SELECT randomblob(1000000000) FROM orders
SELECT zeroblob(1000000000) FROM orders
SELECT hex(id) FROM orders
SELECT sqlite_version() FROM orders
SELECT group_concat(id) FROM orders
SELECT printf('%s', id) FROM orders
SELECT id, row_number() OVER (ORDER BY id) FROM orders
SELECT id FROM orders WHERE id REGEXP '(a+)+$'
SELECT id FROM orders WHERE id GLOB '*'
SELECT id FROM orders WHERE id MATCH 'x'
SELECT :tenant FROM orders
SELECT ? FROM orders
SELECT @x FROM orders
SELECT id FROM orders LIMIT (SELECT 5)
SELECT id FROM orders LIMIT -1
SELECT id FROM orders LIMIT 1 + 1000
SELECT id FROM orders LIMIT 5 OFFSET -1
SELECT 1
VALUES (1)
SELECT id AS narrowed_source FROM orders
SELECT 'narrowed_source' FROM orders
SELECT id INTO mine FROM orders
SELECT id FROM orders WINDOW w AS (ORDER BY id)
SELECT id FROM orders FOR UPDATE
not sql at all
""".strip().splitlines()


@pytest.mark.parametrize(
    "sql", [*REFUSED, "", ";", "SELECT id FROM orders\0", "SELECT " + "(" * 900 + "1", "x" * 3_000]
)
def test_everything_else_is_refused_and_says_why(sql: str) -> None:
    with pytest.raises(CallerError) as caught:
        sql_guard.guard(sql, ANN)
    assert caught.value.code == "bad_request" and caught.value.next_step


def test_the_customer_stands_in_the_statement_by_our_hand() -> None:
    written, parameters = sql_guard.guard("SELECT id FROM orders WHERE 1 = 1 OR total > 0", ANN)
    assert parameters == {"tenant": "acme-home", "customer": "C-0001"}
    assert '"tenant" = :tenant AND "customer" = :customer' in written and written.endswith("LIMIT 50")


def test_a_text_from_the_user_is_a_value_and_no_sql() -> None:
    odd = User("C-0001' OR '1'='1", "acme-home")
    assert sql_guard.run("SELECT count(*) AS n FROM orders", odd) == [{"n": 0}]


def test_at_most_fifty_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_guard, "ROWS", 3)
    assert len(sql_guard.run("SELECT id FROM orders LIMIT 1000", ANN)) == 3
    assert len(sql_guard.run("SELECT id FROM orders", ANN)) == 3


WORDS = """
    SELECT FROM WHERE orders items id total customer tenant tracking * , ( ) ' " ; -- /* */ UNION JOIN OR AND 1=1
    'C-0002' LIMIT 9 ON AS a a.id count(*) IN (SELECT WITH x sqlite_master main. :tenant = <> NULL GROUP BY ORDER
    CASE WHEN THEN ELSE END LIKE '%' || OFFSET EXISTS INTO NOT [customer] `tenant` narrowed_source
"""
FRAGMENTS = st.sampled_from(WORDS.split())
SHAPED = st.builds(
    "SELECT {} FROM {} {}".format,
    st.lists(FRAGMENTS, min_size=1, max_size=4).map(" ".join),
    st.sampled_from(["orders", "items", "orders a", "orders AS customer", "items i", "main.orders", "orders, items"]),
    st.lists(FRAGMENTS, max_size=8).map(" ".join),
)


@given(SHAPED | st.lists(FRAGMENTS, max_size=14).map(" ".join) | st.text(max_size=60))
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_runs_tells_nothing_of_others(sql: str) -> None:
    try:
        rows = sql_guard.run(sql, ANN)
    except CallerError:
        return
    said = {str(value) for row in rows for value in row.values()}
    assert not said & (FOREIGN - {word.strip("'") for word in sql.split()})
    assert not {"tenant", "customer"} & {key.lower() for row in rows for key in row if key.lower() not in sql.lower()}


# the second line, alone: what it would hold if the first one had a gap


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders", "DROP TABLE orders", "CREATE TABLE x (y)", "PRAGMA table_info(orders)",
        "ATTACH DATABASE 'attached.db' AS x", "SELECT * FROM sqlite_master", "SELECT randomblob(10)",
        "SELECT load_extension('x')", "SELECT rowid, hex(id) FROM orders", "SELECT * FROM pragma_table_info('orders')",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "VACUUM INTO 'other.db'",
    ],
)  # fmt: skip
def test_sqlite_itself_refuses(sql: str) -> None:
    with pytest.raises(CallerError, match="The database refused it"):
        sql_guard.read_only(sql, {})


def test_a_slow_statement_is_stopped() -> None:
    slow = "SELECT count(*) FROM items a, items b, items c, items d"
    with pytest.raises(CallerError, match="interrupted"):
        sql_guard.read_only(slow, {}, seconds=0.05)


def test_the_connection_cannot_write_even_without_the_authorizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_guard, "_authorize", lambda *_: sqlite3.SQLITE_OK)
    with pytest.raises(CallerError, match="readonly"):
        sql_guard.read_only("DELETE FROM orders", {})


def test_the_tool_reads_for_the_authenticated_user(own_state: Path) -> None:
    arguments = {"sql": "SELECT count(*) AS n FROM orders"}
    for user in (ANN, acme.user("C-0002")):
        theirs = [one for one in acme.orders().values() if one["customer"] == user.id]
        assert sql_guard.query_orders.function(**arguments, turn=Turn("?", user)) == [{"n": len(theirs)}]
    assert sql_guard.query_orders.effect == "read"
    assert not own_state.exists() or not any(b"H-100001" in path.read_bytes() for path in own_state.rglob("*.*"))
