"""Interactive transactions on servers: what ends one, and that nothing which follows its end takes effect by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anyio
import libsql_client
import pytest

from serving.fixtures import skipping
from serving.servers import LibsqlServer, Nginx
from turso_hooks.drivers import parse_database_url
from turso_hooks.drivers.clients import create_client
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable, RequestTooLarge

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")]

INSERT = "INSERT INTO t VALUES (?)"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # how it is reached under trio is shown by test_clients


async def values_of(client: libsql_client.Client) -> list[object]:
    return [row[0] for row in (await client.execute("SELECT x FROM t")).rows]


@pytest.mark.slow  # the server's 5 s, four times
@pytest.mark.filterwarnings("ignore::DeprecationWarning:libsql_client")
@pytest.mark.parametrize("over", ["url", "ws_url"])
async def test_one_that_the_server_timed_out_is_over(libsql_server: LibsqlServer, over: str) -> None:
    target = parse_database_url(getattr(libsql_server, over))
    async with create_client(target) as client, create_client(target) as another:
        await client.execute("CREATE TABLE t (x)")
        transaction = client.transaction()
        await transaction.execute(INSERT, ["a"])
        await another.execute(INSERT, ["another's"])  # waits for 5 s: then the server takes the lock from the first
        with pytest.raises(DatabaseUnavailable, match="timed out"):
            await transaction.execute(INSERT, ["b"])
        assert transaction.closed
        for call in (transaction.execute(INSERT, ["c"]), transaction.commit()):
            with pytest.raises(DatabaseUnusable, match="begin another one"):
                await call
        assert await values_of(client) == ["another's"]


async def test_one_that_is_open_ends_with_its_client(libsql_server: LibsqlServer) -> None:
    target = parse_database_url(libsql_server.url)
    async with create_client(target) as client:
        await client.execute("CREATE TABLE t (x)")
        transaction = client.transaction()
        await transaction.execute(INSERT, ["a"])
    assert transaction.closed
    with pytest.raises(DatabaseUnusable, match="the transaction is over"):
        await transaction.execute(INSERT, ["b"])
    await transaction.rollback()
    transaction.close()
    async with create_client(target) as another:
        with anyio.fail_after(3):  # where the server must find out by itself it takes 5 s
            await another.execute(INSERT, ["another's"])
        assert await values_of(another) == ["another's"]


async def test_one_of_which_a_statement_was_cancelled_is_over(libsql_server: LibsqlServer) -> None:
    async with create_client(parse_database_url(libsql_server.url)) as client:
        await client.execute("CREATE TABLE t (x)")
        transaction = client.transaction()
        await transaction.execute(INSERT, ["a"])
        with anyio.move_on_after(0.1):
            await transaction.execute(
                "INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n LIMIT 1"
            )
        with pytest.raises(DatabaseUnusable, match="begin another one"):
            await transaction.commit()
        with anyio.fail_after(3):
            await client.execute(INSERT, ["b"])
        assert await values_of(client) == ["b"]


async def test_a_statement_that_is_too_large_is_told_as_such(
    libsql_server: LibsqlServer, nginx: Callable[[str], Nginx]
) -> None:
    front = nginx(libsql_server.url)
    front.configure(max_body="1k")
    async with create_client(parse_database_url(f"http://127.0.0.1:{front.port}")) as client:
        transaction = client.transaction()
        await transaction.execute("CREATE TABLE t (x)")
        with pytest.raises(RequestTooLarge):
            await transaction.execute(INSERT, ["x" * 5000])
        assert transaction.closed


async def test_where_the_server_forgets_it_without_a_word_nothing_more_is_sent(
    libsql_server: LibsqlServer, nginx: Callable[[str], Nginx]
) -> None:
    front = nginx(libsql_server.url)
    result = {"type": "ok", "response": {"type": "execute", "result": {"cols": [], "rows": []}}}
    async with create_client(parse_database_url(f"http://127.0.0.1:{front.port}")) as client:
        front.configure(answer=200, body=json.dumps({"baton": "b", "results": [result]}))
        transaction = client.transaction()
        await transaction.execute("SELECT 1")
        front.configure(answer=200, body=json.dumps({"baton": None, "results": [result]}))
        await transaction.execute("SELECT 2")
        sent = len(front.requests())
        with pytest.raises(DatabaseError, match="the transaction is over"):
            await transaction.execute("SELECT 3")
        assert transaction.closed
    assert len(front.requests()) == sent


@pytest.mark.parametrize("elsewhere", ["http://192.0.2.1:8080", "file:agents.db", "http://[", "ws://localhost:8080"])
async def test_a_stream_does_not_go_on_where_no_token_may_go(tmp_path: Path, elsewhere: str) -> None:
    server = LibsqlServer(tmp_path / "elsewhere")
    server.options += ["--http-self-url", elsewhere]
    with skipping():
        server.start()
    try:
        async with create_client(parse_database_url(server.url), "a-token", timeout_s=2) as client:
            transaction = client.transaction()
            with pytest.raises(DatabaseUnusable, match="no token is sent"):
                await transaction.execute("SELECT 1")
            assert transaction.closed
    finally:
        server.kill()
