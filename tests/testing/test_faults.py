"""A client that fails on demand is the client it stands for in everything else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serving.servers import LibsqlServer
from turso_hooks.errors import DatabaseUnavailable
from turso_hooks.store import TursoConfig, create_turso_client, initialize_schema, reset_schema_state
from turso_hooks.testing import FailingClient

INSERT = "INSERT INTO schema_version (version, applied_at) VALUES (999, 'now')"
COUNT = "SELECT count(*) FROM schema_version WHERE version = 999"


@pytest.mark.parametrize("engine", ["file", "libsql_server"])
def test_it_fails_when_told_to_and_is_the_real_client_otherwise(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    url = f"file:{tmp_path / 'a.db'}" if engine == "file" else request.getfixturevalue(engine).url

    async def try_it() -> None:
        real = create_turso_client(TursoConfig(url=url))
        assert real is not None
        client = FailingClient(real)
        reset_schema_state()
        assert await initialize_schema(client)
        asked = client.requests
        client.fail(times=2)
        client.fail(error=TimeoutError("no answer"), is_done=True)
        for error in (DatabaseUnavailable, DatabaseUnavailable, TimeoutError):
            with pytest.raises(error):
                await client.batch([INSERT])
        assert client.requests == asked + 3
        found = await client.execute(COUNT)
        assert found.rows[0][0] == 1  # of the third, whose answer was lost
        client.fail(times=100)
        client.recover()
        assert (await client.execute(COUNT)).rows[0][0] == (await real.execute(COUNT)).rows[0][0]
        transaction = client.transaction()
        await transaction.execute("DELETE FROM schema_version WHERE version = 999")
        await transaction.commit()
        assert (await client.execute(COUNT)).rows[0][0] == 0
        assert not client.closed
        await client.close()
        assert client.closed
        assert real.closed

    asyncio.run(try_it())


def test_what_it_raises_by_default_is_of_the_kind_that_a_server_that_is_gone_makes(libsql_server: LibsqlServer) -> None:
    async def ask_in_vain() -> None:
        client = create_turso_client(TursoConfig(url=libsql_server.url))
        assert client is not None
        libsql_server.kill()
        failing = FailingClient(client)
        with pytest.raises(DatabaseUnavailable):
            await failing.execute("SELECT 1")
        failing.fail()
        with pytest.raises(DatabaseUnavailable, match="the test lets it fail"):
            await failing.execute("SELECT 1")
        await failing.close()

    asyncio.run(ask_in_vain())
