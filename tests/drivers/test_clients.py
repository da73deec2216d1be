"""The async client over HTTP where the network and the server do not do as they should."""

from __future__ import annotations

import asyncio
import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from serving.fixtures import skipping
from serving.proxy import Proxy
from serving.servers import LibsqlServer, Nginx
from turso_hooks.drivers import open_database, parse_database_url
from turso_hooks.drivers.clients import create_client
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable, RequestTooLarge

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp"),
    pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning"),  # asyncio's TLS in Python 3.10
]

TOKEN = "a-token-nobody-may-see"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.anyio
async def test_requests_share_a_connection_across_calls(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    async with create_client(parse_database_url(network.url)) as client:
        for n in range(10):
            assert (await client.execute("SELECT ?", [n])).rows[0][0] == n
        with client.transaction() as transaction:
            await transaction.execute("SELECT 1")
            await transaction.commit()
    assert network.connections == 1


def test_a_client_outlives_an_event_loop(libsql_server: LibsqlServer) -> None:
    client = create_client(parse_database_url(libsql_server.url))

    async def ask() -> object:
        return (await client.execute("SELECT 1")).rows[0][0]

    assert [asyncio.run(ask()), asyncio.run(ask()), anyio.run(ask, backend="trio")] == [1, 1, 1]
    asyncio.run(client.close())


def test_a_forked_child_may_use_its_parents_client(libsql_server: LibsqlServer) -> None:
    client = create_client(parse_database_url(libsql_server.url))

    async def ask() -> object:
        return (await client.execute("SELECT 1")).rows[0][0]

    assert asyncio.run(ask()) == 1
    pid = os.fork()
    if pid == 0:
        os._exit(0 if asyncio.run(ask()) == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert asyncio.run(ask()) == 1
    asyncio.run(client.close())


@pytest.mark.anyio
async def test_each_failure_has_its_kind_and_the_client_goes_on_after_it(
    libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]
) -> None:
    network = proxy(libsql_server.port)
    async with create_client(parse_database_url(network.url), timeout_s=0.3) as client:
        network.black_hole = True
        with pytest.raises(DatabaseUnavailable, match="no answer within 0.3 s"):
            await client.execute("SELECT 1")
        network.black_hole = False
        network.truncate_after = 200
        with pytest.raises(DatabaseUnavailable, match="broke off"):
            await client.execute("SELECT 1")
        network.truncate_after = None
        network.refuse()
        network.cut_all()
        with pytest.raises(DatabaseUnavailable, match="nothing listens there"):
            await client.execute("SELECT 1")
        network.listen()
        assert (await client.execute("SELECT 1")).rows[0][0] == 1


@pytest.mark.anyio
async def test_a_proxy_that_refuses_is_told_by_its_answer_and_redirects_are_not_followed(
    libsql_server: LibsqlServer, nginx: Callable[[str], Nginx], monkeypatch: pytest.MonkeyPatch
) -> None:
    front, elsewhere = nginx(libsql_server.url), nginx(libsql_server.url)
    target = parse_database_url(front.url)
    async with create_client(target, TOKEN) as client:
        with pytest.raises(DatabaseUnusable, match="certificate is not to be trusted.*SSL_CERT_FILE"):
            await client.execute("SELECT 1")
    monkeypatch.setenv("SSL_CERT_FILE", str(front.ca_file))
    async with create_client(target, TOKEN) as client:
        assert (await client.execute("SELECT 1")).rows[0][0] == 1
        front.configure(token="another")
        with pytest.raises(DatabaseUnusable, match="401 Unauthorized.*TURSO_AUTH_TOKEN") as caught:
            await client.execute("SELECT 1")
        assert TOKEN not in str(caught.value) + repr(caught.value.__cause__)
        front.configure(max_body="1k")
        with pytest.raises(RequestTooLarge):
            await client.execute("SELECT ?", ["x" * 5000])
        front.configure(answer=429, retry_after=7)
        with pytest.raises(DatabaseUnavailable) as busy:
            await client.execute("SELECT 1")
        assert busy.value.retry_after_s == 7
        front.configure(answer=200, body="<html>")
        with pytest.raises(DatabaseUnavailable, match="not that of a database"):
            await client.batch(["SELECT 1"])
        front.configure(answer=307, redirect_to=f"{elsewhere.url}/v2/pipeline")
        with pytest.raises(DatabaseUnusable, match="redirects to localhost"):
            await client.execute("SELECT 1")
    assert elsewhere.requests() == []


@pytest.mark.anyio
async def test_a_token_goes_unencrypted_to_this_machine_only() -> None:
    for url in ("http://192.0.2.1:8080", "ws://192.0.2.1:8080"):
        async with create_client(parse_database_url(url), TOKEN) as client:
            with pytest.raises(DatabaseUnusable, match="sent unencrypted"):
                await client.execute("SELECT 1")


@pytest.mark.anyio
async def test_a_transaction_whose_server_forgot_it_is_over(libsql_server: LibsqlServer) -> None:
    async with create_client(parse_database_url(libsql_server.url)) as client:
        await client.execute("CREATE TABLE t (x)")
        transaction = client.transaction()
        await transaction.execute("INSERT INTO t VALUES (1)")
        libsql_server.restart()
        with pytest.raises(DatabaseUnavailable, match="the transaction is over: .*baton"):
            await transaction.execute("INSERT INTO t VALUES (2)")
        assert transaction.closed
        with pytest.raises(DatabaseUnusable, match="begin another one"):
            await transaction.commit()
        assert (await client.execute("SELECT count(*) FROM t")).rows[0][0] == 0


@pytest.mark.anyio
async def test_a_call_that_is_cancelled_is_over_at_once(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    async with create_client(parse_database_url(network.url)) as client:
        network.black_hole = True
        with anyio.move_on_after(0.1) as scope:
            await client.execute("SELECT 1")
        assert scope.cancelled_caught
        network.black_hole = False
        assert (await client.execute("SELECT 1")).rows[0][0] == 1


@pytest.mark.anyio
async def test_a_stream_goes_on_where_the_server_says_but_never_unencrypted(
    tmp_path: Path, proxy: Callable[[int], Proxy], nginx: Callable[[str], Nginx], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = LibsqlServer(tmp_path / "elsewhere")
    server.options += ["--http-self-url", server.url]
    with skipping():
        server.start()
    try:
        network = proxy(server.port)
        async with create_client(parse_database_url(network.url)) as client:
            with client.transaction() as transaction:
                for n in range(3):
                    assert (await transaction.execute("SELECT ?", [n])).rows[0][0] == n
                await transaction.commit()
        assert network.requests == 1, "the one that said where it goes on"
        front = nginx(server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(front.ca_file))
        async with create_client(parse_database_url(front.url), TOKEN) as client:
            with pytest.raises(DatabaseUnusable, match="unencrypted, where no token is sent"):
                await client.transaction().execute("SELECT 1")
    finally:
        server.kill()


@pytest.mark.anyio
async def test_a_stream_goes_on_at_no_other_host(nginx: Callable[[str], Nginx], libsql_server: LibsqlServer) -> None:
    front = nginx(libsql_server.url)
    result = {"type": "ok", "response": {"type": "execute", "result": {"cols": [], "rows": [], "affected_row_count": 0}}}
    front.configure(
        answer=200, body=json.dumps({"baton": "b", "base_url": f"http://127.0.0.2:{front.port}", "results": [result] * 2})
    )
    async with create_client(parse_database_url(front.http_url), TOKEN) as client:
        transaction = client.transaction()
        with pytest.raises(DatabaseUnusable, match="where no token is sent"):
            await transaction.execute("SELECT 1")


def test_a_websocket_follows_no_redirect(nginx: Callable[[str], Nginx], libsql_server: LibsqlServer) -> None:
    front, elsewhere = nginx(libsql_server.url), nginx(libsql_server.url)
    front.configure(redirect_to=elsewhere.http_url, is_everywhere=True)
    url = front.http_url.replace("http:", "ws:")
    with (
        open_database(parse_database_url(url), auth_token=TOKEN, request_timeout_s=5) as database,
        pytest.raises(DatabaseUnusable, match="redirects|307"),
    ):
        database.execute("SELECT 1")
    assert elsewhere.requests() == []


def test_a_certificate_nobody_vouches_for_is_told_over_a_websocket_too(
    nginx: Callable[[str], Nginx], libsql_server: LibsqlServer
) -> None:
    url = nginx(libsql_server.url).url.replace("libsql:", "wss:").replace("https:", "wss:")
    with (
        open_database(parse_database_url(url), request_timeout_s=5) as database,
        pytest.raises(DatabaseUnusable, match="certificate is not to be trusted.*SSL_CERT_FILE"),
    ):
        database.execute("SELECT 1")


@pytest.mark.anyio
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_an_error_holds_nothing_of_the_token_whatever_it_came_of(
    scheme: str, nginx: Callable[[str], Nginx], libsql_server: LibsqlServer
) -> None:
    front = nginx(libsql_server.url)
    front.configure(answer=401, body=f"denied: {TOKEN}", is_everywhere=True)
    url = front.http_url.replace("http:", f"{scheme}:")
    async with create_client(parse_database_url(url), TOKEN) as client:
        with pytest.raises(DatabaseUnusable, match="TURSO_AUTH_TOKEN") as caught:
            await client.execute("SELECT 1")
    assert TOKEN not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)


def test_a_token_that_a_websocket_does_not_take_names_the_variable(guarded_libsql_server: LibsqlServer) -> None:
    with (
        open_database(parse_database_url(guarded_libsql_server.ws_url), auth_token=TOKEN, request_timeout_s=5) as database,
        pytest.raises(DatabaseError, match="TURSO_AUTH_TOKEN"),
    ):
        database.execute("SELECT 1")


@pytest.mark.anyio
async def test_a_blocking_call_works_in_a_thread_with_an_event_loop(libsql_server: LibsqlServer) -> None:
    with open_database(parse_database_url(libsql_server.ws_url)) as database:
        assert database.execute("SELECT 1").rows == [(1,)]
        assert (await anyio.to_thread.run_sync(database.execute, "SELECT 1")).rows == [(1,)]
