from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import anyio
import libsql_client
import pytest

from serving.proxy import Proxy
from serving.servers import LibsqlServer, TursoServer
from turso_hooks import (
    TursoConfig,
    close_turso_client,
    create_turso_client,
    get_turso_client,
    get_turso_config,
    initialize_schema,
    reset_schema_state,
)
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable

pytestmark = [
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp"),
]


@pytest.mark.anyio
async def test_without_a_database_every_function_says_so_and_none_raises() -> None:
    assert get_turso_config() is None
    assert create_turso_client() is None
    assert get_turso_client() is None
    assert await initialize_schema() is False
    await close_turso_client()
    reset_schema_state()


@pytest.mark.anyio
async def test_a_wrong_url_is_said_in_the_log_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TURSO_DATABASE_URL", "agents.db")
    with caplog.at_level(logging.WARNING, "turso_hooks"):
        assert get_turso_client() is None
        assert await initialize_schema() is False
    assert "did you mean file:agents.db" in caplog.text


@pytest.mark.anyio
async def test_the_client_is_a_libsql_client_and_one_for_the_process(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURSO_DATABASE_URL", f"file:{database}")
    monkeypatch.setenv("TURSO_AUTH_TOKEN", "secret")
    assert "secret" not in repr(get_turso_config())
    client = get_turso_client()
    assert isinstance(client, libsql_client.Client)
    assert get_turso_client() is client
    assert await initialize_schema() is True
    assert await initialize_schema() is True
    reset_schema_state()
    assert await initialize_schema() is True
    await close_turso_client()
    assert client.closed
    assert get_turso_client() is not client
    await close_turso_client()


@pytest.mark.anyio
async def test_a_database_of_another_program_is_refused_without_raising(database: Path) -> None:
    client = create_turso_client(TursoConfig(f"file:{database}"))
    assert client is not None
    await client.execute("CREATE TABLE sessions (session_key TEXT)")
    assert await initialize_schema(client) is False
    assert (await client.execute("SELECT count(*) FROM sqlite_master")).rows[0][0] == 1
    await client.close()


@pytest.mark.anyio
async def test_execute_batch_and_transaction_mean_what_libsql_client_means(database: Path) -> None:
    client = create_turso_client(TursoConfig(f"file:{database}"))
    assert isinstance(client, libsql_client.Client)
    async with client:
        await client.batch(["CREATE TABLE t (x INTEGER PRIMARY KEY, y)", ("INSERT INTO t (y) VALUES (?)", [True])])
        named = await client.execute("INSERT INTO t (y) VALUES (:y)", {"y": "two"})
        assert (named.rows_affected, named.last_insert_rowid) == (1, 2)
        with pytest.raises(DatabaseError):
            await client.batch(["INSERT INTO t (y) VALUES (3)", "INSERT INTO nowhere VALUES (1)"])

        async def write() -> None:
            with client.transaction() as transaction:
                await transaction.execute("INSERT INTO t (y) VALUES ('three')")
                await transaction.commit()

        await write()
        with client.transaction() as transaction:
            await transaction.execute("DELETE FROM t")
        found = await client.execute("SELECT x, y FROM t ORDER BY x")
        assert [tuple(row) for row in found] == [(1, 1), (2, "two"), (3, "three")]
        assert found.columns == ("x", "y")
        assert found[0]["y"] == 1
    with pytest.raises(DatabaseError, match="it is closed"):
        await client.execute("SELECT 1")


@pytest.mark.anyio
async def test_many_tasks_may_use_one_client(database: Path) -> None:
    client = create_turso_client(TursoConfig(f"file:{database}"))
    assert isinstance(client, libsql_client.Client)
    async with client:
        await client.execute("CREATE TABLE t (x)")
        async with anyio.create_task_group() as group:
            for n in range(50):
                group.start_soon(client.execute, "INSERT INTO t VALUES (?)", [n])
        assert (await client.execute("SELECT count(*) FROM t"))[0][0] == 50


@pytest.mark.anyio
async def test_the_schema_is_prepared_on_every_server(turso_server: TursoServer, libsql_server: LibsqlServer) -> None:
    for url in (turso_server.url, libsql_server.url, libsql_server.ws_url):
        client = create_turso_client(TursoConfig(url))
        assert isinstance(client, libsql_client.Client)
        async with client:
            assert await initialize_schema(client) is True
            assert (await client.execute("SELECT count(*) FROM sessions"))[0][0] == 0


@pytest.mark.anyio
async def test_the_token_of_the_url_wins(guarded_libsql_server: LibsqlServer) -> None:
    server = guarded_libsql_server
    for base in (server.url, server.ws_url):
        for url, token in ((base, server.token()), (f"{base}?authToken={server.token()}", "not.a.token")):
            client = create_turso_client(TursoConfig(url, token))
            assert isinstance(client, libsql_client.Client)
            async with client:
                assert (await client.execute("SELECT 1"))[0][0] == 1
        client = create_turso_client(TursoConfig(f"{base}?authToken=not.a.token", server.token()))
        assert isinstance(client, libsql_client.Client)
        async with client:
            with pytest.raises(DatabaseError) as caught:
                await client.execute("SELECT 1")
            assert "not.a.token" not in str(caught.value)


@pytest.mark.anyio
async def test_the_timeout_is_that_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]
) -> None:
    network = proxy(libsql_server.port)
    network.black_hole = True
    monkeypatch.setenv("TURSO_HOOKS_REQUEST_TIMEOUT_S", "0.2")
    for url in (network.url, network.url.replace("http:", "ws:")):
        client = create_turso_client(TursoConfig(url))
        assert isinstance(client, libsql_client.Client)
        async with client:
            with pytest.raises(DatabaseUnavailable, match="no answer within 0.2 s"):
                await client.execute("SELECT 1")


@pytest.mark.anyio
async def test_whether_the_token_may_go_unencrypted_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURSO_HOOKS_REQUEST_TIMEOUT_S", "0.1")
    for allowed, expected in (("0", DatabaseUnusable), ("1", DatabaseUnavailable)):
        monkeypatch.setenv("TURSO_HOOKS_ALLOW_UNENCRYPTED_TOKEN", allowed)
        client = create_turso_client(TursoConfig("http://192.0.2.1:8080", "secret"))
        assert isinstance(client, libsql_client.Client)
        async with client:
            with pytest.raises(expected):
                await client.execute("SELECT 1")


@pytest.mark.anyio
async def test_a_setting_that_cannot_be_used_is_said_in_the_log_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TURSO_HOOKS_REQUEST_TIMEOUT_S", "soon")
    with caplog.at_level(logging.WARNING, "turso_hooks"):
        assert create_turso_client(TursoConfig("http://localhost:8080")) is None
    assert "TURSO_HOOKS_REQUEST_TIMEOUT_S" in caplog.text
