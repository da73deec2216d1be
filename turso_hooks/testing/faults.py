"""A database client that fails on demand, around a real one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from turso_hooks.drivers import Client
from turso_hooks.errors import DatabaseUnavailable


class FailingClient:
    """Any client of libsql-client's kind, whose next requests fail where it is told so; the rest goes through as it is.

        client = FailingClient(create_turso_client(TursoConfig(url="file:agents.db")))
        client.fail(times=2)
        client.fail(times=1, is_done=True, error=TimeoutError())

    The second line is a network that is down for two requests, the third a request that takes effect and whose answer is lost:
    who asks again must not do it twice. What is told comes one after the other. To be used from one event loop, as clients are.
    """

    def __init__(self, client: Client) -> None:
        self.requests = 0
        """How many have been made, those that failed among them."""
        self._client = client
        self._faults: list[tuple[BaseException, bool]] = []

    def fail(self, *, times: int = 1, error: BaseException | None = None, is_done: bool = False) -> None:
        """Let so many of the next requests raise `error`, `is_done` after they took effect.

        By default it is what our clients raise if a server is gone: `turso_hooks.errors.DatabaseUnavailable`.
        """
        self._faults += [
            (error or DatabaseUnavailable("run a statement", "the database", "the test lets it fail"), is_done)
        ] * times

    def recover(self) -> None:
        """Let nothing fail any more."""
        self._faults.clear()

    async def execute(self, stmt: Any, args: Any = None) -> Any:
        """Run one statement; see `libsql_client.Client`."""
        return await self._request(lambda: self._client.execute(stmt, args))

    async def batch(self, stmts: list[Any]) -> list[Any]:
        """Run statements in one transaction; see `libsql_client.Client`."""
        results: list[Any] = await self._request(lambda: self._client.batch(stmts))
        return results

    def transaction(self) -> Any:
        """Begin an interactive transaction, what is asked in which does not fail; see `libsql_client.Client`."""
        return self._client.transaction()

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._client.closed

    async def _request(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        self.requests += 1
        if not self._faults:
            return await ask()
        error, is_done = self._faults.pop(0)
        if is_done:
            await ask()
        raise error
