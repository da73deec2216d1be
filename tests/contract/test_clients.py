"""One suite for every client of libsql-client's kind: they all mean the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import anyio
import libsql_client
import pytest

from turso_hooks.drivers import parse_database_url
from turso_hooks.drivers.clients import create_client
from turso_hooks.drivers.clients.mapped import MappedClient
from turso_hooks.errors import DatabaseUnusable, RowRefused

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:libsql_client"),
]

KINDS = ("embedded", "http, Turso's server", "http, libsql-server", "libsql-client's file", "websocket, libsql-server")
EXACT = [0.1, 0.399506, -2.5, 1e15, 1e-12, 5.0]
HARD = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 0.30000000000000004, 123456789.12345679]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], libsql_client.Client]:
    """Makes clients of one database."""
    file = f"file:{tmp_path / 'client.db'}"
    if kind == "libsql-client's file":
        return lambda: MappedClient(file, partial(libsql_client.create_client, file), timeout_s=5)
    server = request.getfixturevalue("turso_server" if "Turso" in kind else "libsql_server") if "server" in kind else None
    url = file if server is None else server.ws_url if "websocket" in kind else server.url
    return lambda: create_client(parse_database_url(url), timeout_s=5)


@pytest.fixture
async def client(connect: Callable[[], libsql_client.Client]) -> AsyncIterator[libsql_client.Client]:
    made = connect()
    try:
        await made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x, needed NOT NULL DEFAULT 1, UNIQUE (x))")
        yield made
    finally:
        await made.close()


async def values_of(client: libsql_client.Client) -> list[object]:
    return [row[0] for row in (await client.execute("SELECT x FROM t ORDER BY id")).rows]


async def test_it_is_a_client_of_libsql_clients(client: libsql_client.Client) -> None:
    assert isinstance(client, libsql_client.Client)
    async with client as same:
        assert same is client
    assert client.closed


@pytest.mark.parametrize(
    "value",
    [
        None, 0, -1, 2**63 - 1, -(2**63), 2**53 + 1, *EXACT, "", "text", "a\0b", "\0", 'quo"te\n\\', "é 日本語 😀",
        "x" * 100_000, b"", b"\0\xff", bytes(range(256)),
    ],
)  # fmt: skip
async def test_every_value_comes_back_exactly(client: libsql_client.Client, value: object, kind: str) -> None:
    await client.execute("INSERT INTO t (x) VALUES (?)", [value])  # type: ignore[list-item]
    (found,) = await values_of(client)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("value", HARD)
async def test_every_float_comes_back_exactly(client: libsql_client.Client, value: float, kind: str) -> None:
    found = (await client.execute("SELECT ?", [value])).rows[0][0]
    if "Turso" in kind:
        assert found == pytest.approx(value, rel=1e-15), "version 0.6 reads what has more than 15 digits to the nearest but one"
    else:
        assert found == value


async def test_arguments_go_by_place_or_by_name(client: libsql_client.Client) -> None:
    assert tuple((await client.execute("SELECT ?, ?", [1, "two"])).rows[0]) == (1, "two")
    assert tuple((await client.execute(("SELECT ?", [1]))).rows[0]) == (1,)
    assert tuple((await client.execute(libsql_client.Statement("SELECT ?", [1]))).rows[0]) == (1,)
    for mark in (":", "@", "$"):
        for name in ("a", f"{mark}a"):
            assert tuple((await client.execute(f"SELECT {mark}a", {name: 7})).rows[0]) == (7,)
    tricky = "SELECT ':a', @b, \"x\".x, /* :c */ :a, @b -- :d\n FROM (SELECT 'no $e' AS x) AS x"
    assert tuple((await client.execute(tricky, {"a": 1, "b": 2})).rows[0]) == (":a", 2, "no $e", 1, 2)
    with pytest.raises(RowRefused):
        await client.execute("SELECT :a, :b", {"a": 1})
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)
    assert tuple((await client.execute("SELECT ?, ?", [moment, True])).rows[0]) == (1_767_312_000_000, 1)


async def test_results_have_columns_rows_and_counts(client: libsql_client.Client, kind: str) -> None:
    inserted = await client.execute("INSERT INTO t (id, x) VALUES (41, 'a'), (42, 'b')")
    counts = (0, None) if "Turso" in kind else (2, 42)  # Turso's server 0.6 does not count
    assert (inserted.rows_affected, inserted.last_insert_rowid) == counts
    found = await client.execute("SELECT id AS number, x FROM t ORDER BY id")
    assert (found.columns, len(found), found[1][0], found[1]["x"]) == (("number", "x"), 2, 42, "b")
    nothing = await client.execute("SELECT id FROM t WHERE false")
    assert (nothing.columns, nothing.rows) == (("id",), [])


async def test_a_batch_takes_effect_wholly_and_gives_every_result(client: libsql_client.Client) -> None:
    results = await client.batch(
        ["INSERT INTO t (x) VALUES ('a')", ("INSERT INTO t (x) VALUES (?)", ["b"]), "SELECT count(*) FROM t"]
    )
    assert [len(result) for result in results] == [0, 0, 1]
    assert results[2].rows[0][0] == 2
    assert await client.batch([]) == []


async def test_a_batch_of_which_one_statement_fails_changes_nothing(client: libsql_client.Client) -> None:
    with pytest.raises(RowRefused, match="NOT NULL"):
        await client.batch(
            ["INSERT INTO t (x) VALUES ('a')", "INSERT INTO t (x, needed) VALUES ('b', NULL)", "INSERT INTO t (x) VALUES ('c')"]
        )
    with pytest.raises(DatabaseUnusable, match="no such table"):
        await client.batch(["INSERT INTO t (x) VALUES ('a')", "INSERT INTO nowhere VALUES (1)"])
    assert await values_of(client) == []
    await client.execute("INSERT INTO t (x) VALUES ('a')")
    assert await values_of(client) == ["a"]


async def test_what_is_wrong_is_told_by_kind(client: libsql_client.Client) -> None:
    await client.execute("INSERT INTO t (x) VALUES ('a')")
    for sql in ("INSERT INTO t (x) VALUES ('a')", "INSERT INTO t (x, needed) VALUES ('b', NULL)"):
        with pytest.raises(RowRefused, match="constraint failed") as caught:
            await client.execute(sql)
        assert "a\0" not in str(caught.value)
    for sql in ("SELECT nonsense FROM t", "SELECT 1 FROM nowhere", "SELEC 1"):
        with pytest.raises(DatabaseUnusable):
            await client.execute(sql)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "a\ud800", object()])
async def test_a_value_that_cannot_be_sent_is_refused(client: libsql_client.Client, value: object) -> None:
    with pytest.raises(RowRefused):
        await client.execute("SELECT ?", [value])  # type: ignore[list-item]
    with pytest.raises(RowRefused):
        await client.batch([("SELECT ?", [value])])  # type: ignore[list-item]
    assert (await client.execute("SELECT 1")).rows[0][0] == 1


async def test_a_transaction_takes_effect_with_commit_and_only_then(client: libsql_client.Client, kind: str) -> None:
    if "Turso" in kind:
        with pytest.raises(DatabaseUnusable, match=r"no interactive transactions; use batch\(\)"):
            await client.transaction().execute("INSERT INTO t (x) VALUES ('a')")
        await client.execute("INSERT INTO t (x) VALUES ('b')")
        assert await values_of(client) == ["b"]
        return
    with client.transaction() as transaction:
        await transaction.execute("INSERT INTO t (x) VALUES (?)", ["a"])
        assert (await transaction.execute("SELECT count(*) FROM t")).rows[0][0] == 1
        await transaction.commit()
        assert transaction.closed
    assert await values_of(client) == ["a"]
    with pytest.raises(DatabaseUnusable, match="is over"):
        await transaction.execute("SELECT 1")
    with pytest.raises(DatabaseUnusable, match="is over"):
        await transaction.commit()


async def test_a_transaction_that_is_rolled_back_or_left_changes_nothing(client: libsql_client.Client, kind: str) -> None:
    if "Turso" in kind:
        return  # it has none, see above
    transaction = client.transaction()
    await transaction.execute("INSERT INTO t (x) VALUES ('a')")
    await transaction.rollback()
    await transaction.rollback()
    assert await values_of(client) == []
    with client.transaction() as left:
        await left.execute("INSERT INTO t (x) VALUES ('b')")
    assert left.closed
    await client.execute("INSERT INTO t (x) VALUES ('c')")
    assert await values_of(client) == ["c"]
    client.transaction().close()
    await client.transaction().commit()
    await client.transaction().rollback()


async def test_a_statement_that_is_refused_leaves_its_transaction_open(client: libsql_client.Client, kind: str) -> None:
    if "Turso" in kind:
        return  # it has none, see above
    with client.transaction() as transaction:
        await transaction.execute("INSERT INTO t (x) VALUES ('a')")
        with pytest.raises(RowRefused):
            await transaction.execute("INSERT INTO t (x, needed) VALUES ('b', NULL)")
        await transaction.execute("INSERT INTO t (x) VALUES ('c')")
        await transaction.commit()
    assert await values_of(client) == ["a", "c"]


async def test_statements_of_a_transaction_may_be_asked_for_at_once(client: libsql_client.Client, kind: str) -> None:
    if "Turso" in kind:
        return  # it has none, see above
    with client.transaction() as transaction:
        async with anyio.create_task_group() as tasks:
            for n in range(5):
                tasks.start_soon(transaction.execute, "INSERT INTO t (x) VALUES (?)", [n])
        await transaction.commit()
    assert sorted(await values_of(client)) == list(range(5))  # type: ignore[type-var]


async def test_a_transaction_that_is_left_holds_nobody_up_though_its_client_is_closed_at_once(
    client: libsql_client.Client, connect: Callable[[], libsql_client.Client], kind: str
) -> None:
    if "Turso" in kind:
        return  # it has none, see above
    with client.transaction() as transaction:
        await transaction.execute("INSERT INTO t (x) VALUES ('a')")
    await client.close()
    async with connect() as another:
        with anyio.fail_after(3):  # where the server must find out by itself it takes 5 s
            await another.execute("INSERT INTO t (x) VALUES ('b')")
        assert await values_of(another) == ["b"]


async def test_what_another_client_wrote_is_read(
    client: libsql_client.Client, connect: Callable[[], libsql_client.Client]
) -> None:
    async with connect() as another:
        assert await values_of(another) == []
        for n in range(3):
            await client.execute("INSERT INTO t (x) VALUES (?)", [n])
            assert await values_of(another) == list(range(n + 1))


async def test_many_calls_at_once_each_get_their_own_answer(client: libsql_client.Client) -> None:
    found: dict[int, object] = {}

    async def ask(n: int) -> None:
        found[n] = (await client.execute("SELECT ?", [n])).rows[0][0]

    async with anyio.create_task_group() as tasks:
        for n in range(20):
            tasks.start_soon(ask, n)
    assert found == {n: n for n in range(20)}


async def test_a_closed_client_says_so(client: libsql_client.Client) -> None:
    await client.close()
    await client.close()
    assert client.closed
    for call in (client.execute("SELECT 1"), client.batch(["SELECT 1"])):
        with pytest.raises(DatabaseUnusable, match="it is closed; make another one"):
            await call
    with pytest.raises(DatabaseUnusable, match="it is closed"):
        client.transaction()
