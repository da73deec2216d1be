"""One suite for every driver behind the blocking face: they all mean the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import libsql_client
import pytest

from turso_hooks.drivers import Bulk, Database, EmbeddedDatabase, Statement, open_database, parse_database_url
from turso_hooks.drivers.foreign import ClientDatabase
from turso_hooks.errors import DatabaseUnusable, RowRefused

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:libsql_client"),
]

INSERT = "INSERT INTO t (id, x, cost) VALUES (?, ?, ?)"
BULK = Bulk(
    """INSERT INTO t (id, x, cost) SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
    json_extract(value, '$[2][0]') * 1.0 / json_extract(value, '$[2][1]') / json_extract(value, '$[2][2]')
    FROM json_each(?) WHERE true""",
    frozenset({2}),
)
ROWS = [
    (1, "plain", 0.5),
    (2, 'quo"te\n\\ é 日本語 😀', 0.399506),
    (3, None, None),
    (4, "nul\0nul", 1 / 3),
    (5, 2**63 - 1, 3e-06 * 123),
    (6, -(2**63), 2.5e-05),
    (7, "", 12.0),
]


@pytest.fixture(
    params=["embedded", "http, Turso's server", "http, libsql-server", "libsql-client's file", "websocket, libsql-server"]
)
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Database]:
    """Opens one database, each time by a connection of its own."""
    kind, file = request.param, tmp_path / "database.db"
    if kind == "embedded":
        return lambda: EmbeddedDatabase(file)
    if kind == "libsql-client's file":
        return lambda: ClientDatabase(f"file:{file}", partial(libsql_client.create_client, f"file:{file}"), timeout_s=5)
    server = request.getfixturevalue("turso_server" if "Turso" in kind else "libsql_server")
    url = server.ws_url if "websocket" in kind else server.url
    return lambda: open_database(parse_database_url(url), request_timeout_s=5)


@pytest.fixture
def database(connect: Callable[[], Database]) -> Iterator[Database]:
    with connect() as made:
        made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x, cost REAL, needed NOT NULL DEFAULT 1)")
        yield made


@pytest.mark.parametrize("bulk", [None, BULK])
def test_rows_arrive_exactly_together_or_one_by_one(database: Database, bulk: Bulk | None) -> None:
    rows = ROWS if bulk else [row for row in ROWS if row[2] not in {1 / 3, 3e-06 * 123}]  # see test_clients for those
    database.transaction([Statement(INSERT, rows, bulk), Statement("UPDATE t SET needed = 2")])
    assert database.execute("SELECT id, x, cost FROM t ORDER BY id").rows == rows
    assert database.execute("SELECT count(*) FROM t WHERE needed = 2").rows == [(len(rows),)]


def test_a_transaction_takes_effect_wholly_or_not_at_all(database: Database) -> None:
    with pytest.raises(RowRefused, match="cannot add rows.*constraint failed"):
        database.transaction([Statement(INSERT, ROWS, BULK), Statement(INSERT, [(1, "again", 0.5)])], operation="add rows")
    with pytest.raises(DatabaseUnusable, match="no such table"):
        database.transaction([Statement(INSERT, ROWS, BULK), Statement("DELETE FROM nowhere")])
    assert database.look("SELECT count(*) FROM t").rows == [(0,)]
    database.transaction([Statement(INSERT, ROWS, BULK)])
    assert database.look("SELECT count(*) FROM t").rows == [(len(ROWS),)]


@pytest.mark.parametrize("value", [2**63, "a\ud800"])
def test_a_value_that_is_not_taken_is_a_refused_row(database: Database, value: object) -> None:
    for rows in ([(8, value, 0.5)], [(8, value, 0.5), (9, "x", 0.5)]):
        with pytest.raises(RowRefused):
            database.transaction([Statement(INSERT, rows, BULK)])
    assert database.look("SELECT count(*) FROM t").rows == [(0,)]


def test_a_result_has_names_and_rows(database: Database) -> None:
    found = database.execute("SELECT ? AS a, ? AS b", ("x", None), operation="ask")
    assert (found.columns, found.rows) == (("a", "b"), [("x", None)])
    with pytest.raises(DatabaseUnusable, match="cannot ask .*no such column"):
        database.execute("SELECT nonsense FROM t", operation="ask")


def test_threads_may_share_it(database: Database) -> None:
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(database.execute("SELECT ?", (n,)).rows[0][0])) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(8))  # type: ignore[type-var]


def test_it_opens_again_after_it_was_closed(database: Database) -> None:
    database.close()
    database.close()
    assert database.look("SELECT count(*) FROM t").rows == [(0,)]


def test_what_another_connection_wrote_is_read(database: Database, connect: Callable[[], Database]) -> None:
    with connect() as another:
        assert another.execute("SELECT count(*) FROM t").rows == [(0,)]
        for n, row in enumerate(ROWS[:3], 1):
            database.transaction([Statement(INSERT, [row], BULK)])
            assert another.execute("SELECT id, x, cost FROM t ORDER BY id").rows == ROWS[:n]
