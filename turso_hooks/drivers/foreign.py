"""Any client of libsql-client's kind behind the blocking face of a database: `ws:` and `wss:` URLs, and clients handed in.

The client lives on an event loop of its own, which runs only while a call does: on the caller's thread, or, if that runs an
event loop already, on another for which the caller waits, as it does for every database.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from turso_hooks.drivers.bulk import checked, few_statements
from turso_hooks.drivers.client import Client
from turso_hooks.drivers.database import Rows, Statement
from turso_hooks.drivers.faults import Operation, failed_request, foreign_failure
from turso_hooks.drivers.private_loop import PrivateLoop
from turso_hooks.errors import DatabaseError, RowRefused

if TYPE_CHECKING:
    from typing_extensions import Self

_T = TypeVar("_T")

_inherited: list[object] = []
"""What a forked child has of its parent: kept, so that nothing of it is tidied up here."""


class ClientDatabase:
    """A database through an async client, which `connect` makes, inside the event loop, when it is first used.

    Any thread may call it; calls wait for each other. A call that takes longer than `timeout_s` fails, and the next one begins
    with a new client. `operation` makes what errors are told of. Raises `DatabaseError`.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Client],
        *,
        timeout_s: float,
        operation: Callable[[str, str], Operation] = Operation,
    ) -> None:
        self.name = name
        self._connect = connect
        self._timeout_s = timeout_s
        self._operation = operation
        self._lock = threading.Lock()
        self._loop: PrivateLoop | None = None
        self._client: Client | None = None
        self._process_id = 0

    def __enter__(self) -> Self:
        """Nothing is opened before it is used."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the client."""
        self.close()

    def execute(self, sql: str, arguments: Sequence[Any] | dict[str, Any] = (), *, operation: str = "read") -> Rows:
        """Run one statement by itself and return its rows. Raises a `DatabaseError` that names `operation`."""
        found = self._run(operation, lambda client: client.execute(sql, arguments))
        return Rows(tuple(found.columns), [tuple(row) for row in found.rows], found.rows_affected, found.last_insert_rowid)

    def look(self, sql: str, *, operation: str = "read") -> Rows:
        """Run a query. Raises a `DatabaseError`."""
        return self.execute(sql, operation=operation)

    def transaction(self, statements: Sequence[Statement], *, operation: str = "write") -> None:
        """Run statements in one transaction: all of them take effect, or none. Raises a `DatabaseError`."""
        self._run(operation, lambda client: client.batch(_sendable(statements)))

    def close(self) -> None:
        """Close the client and its event loop; the next call makes others."""
        with self._lock:
            self._drop()

    def _run(self, operation: str, ask: Callable[[Client], Awaitable[_T]]) -> _T:
        if self._process_id not in {0, os.getpid()}:
            self._begin_anew()
        with self._lock:
            try:
                if self._loop is None:
                    self._loop, self._process_id = PrivateLoop(), os.getpid()
                return self._loop.run_here(lambda: asyncio.wait_for(self._ask(ask), self._timeout_s))
            except BaseException as error:
                mapped = self._mapped(operation, error)
                if not isinstance(mapped, RowRefused):
                    self._drop()
                if mapped is None:
                    raise
                raise mapped from None  # it may quote what the server said

    def _begin_anew(self) -> None:
        """In a forked child: the connection is the parent's, and a thread that is not there may hold the lock."""
        _inherited.append((self._loop, self._client))
        self._loop, self._client, self._lock, self._process_id = None, None, threading.Lock(), 0

    async def _ask(self, ask: Callable[[Client], Awaitable[_T]]) -> _T:
        if self._client is None:
            self._client = self._connect()
        return await ask(self._client)

    def _mapped(self, name: str, error: BaseException) -> DatabaseError | None:
        operation = self._operation(name, self.name)
        if isinstance(error, DatabaseError):
            return error
        if isinstance(error, (TimeoutError, asyncio.TimeoutError)):  # one class from Python 3.11 on
            return failed_request(operation, TimeoutError(), self._timeout_s)
        return foreign_failure(operation, error, self._timeout_s) if isinstance(error, Exception) else None

    def _drop(self) -> None:
        loop, client = self._loop, self._client
        self._loop = self._client = None
        if loop is not None:
            try:
                loop.run_here(lambda: _close(client))
            finally:
                loop.close()


async def _close(client: Client | None) -> None:
    with suppress(Exception):  # it is on its way out, and its faults with it
        if client is not None:
            await asyncio.wait_for(client.close(), 1)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)


def _sendable(statements: Sequence[Statement]) -> list[tuple[str, Sequence[Any]]]:
    return [(sql, checked(arguments)) for sql, arguments in few_statements(statements)]
