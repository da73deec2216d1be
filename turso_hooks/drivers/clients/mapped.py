"""Another client of libsql-client's, with errors of ours, a timeout on every call, and a loop of its own.

For `ws:` and `wss:` URLs, which libsql-client serves itself. It has no timeouts, knows asyncio only, and belongs to the event
loop in which it is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import libsql_client

from turso_hooks.drivers.bulk import checked
from turso_hooks.drivers.client import Client
from turso_hooks.drivers.clients.loop_thread import LoopThread
from turso_hooks.drivers.clients.results import arguments_of
from turso_hooks.drivers.faults import Operation, foreign_failure
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable

_T = TypeVar("_T")

_BROKEN = frozenset({"", "HRANA_WEBSOCKET_ERROR", "HRANA_PROTO_ERROR"})
"""Codes of failures of the connection; whatever else has one is a word of the server's, which answers."""

_CLOSE_S = 1.0
"""How long a client that failed may take to close."""


class _Mapped:
    """Calls on another's objects, on the thread that they live on. Raises `DatabaseError`."""

    def __init__(self, name: str, thread: LoopThread, timeout_s: float, operation: Callable[[str, str], Operation]) -> None:
        self.name = name
        self._thread = thread
        self._operation = operation
        self._timeout_s = timeout_s

    async def call(self, operation: str, work: Callable[[], Awaitable[_T]]) -> _T:
        async def bounded() -> _T:
            return await asyncio.wait_for(work(), self._timeout_s)

        try:
            return await self._thread.run(bounded)
        except DatabaseError:
            raise
        except asyncio.TimeoutError:  # a class of its own before Python 3.11
            raise foreign_failure(self._operation(operation, self.name), TimeoutError(), self._timeout_s) from None
        except Exception as error:  # noqa: BLE001  # another's, of whatever class; it may quote what the server said
            raise foreign_failure(self._operation(operation, self.name), error, self._timeout_s) from None


class MappedClient(libsql_client.Client):
    """The client that `connect` makes, on its own loop, when it is first used; and again after the network failed.

    `timeout_s` is for each call, `operation` makes what errors are told of. Raises `DatabaseError`.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Client],
        *,
        timeout_s: float,
        operation: Callable[[str, str], Operation] = Operation,
    ) -> None:
        self._connect = connect
        self._thread = LoopThread()
        self._mapped = _Mapped(name, self._thread, timeout_s, operation)
        self._client: Client | None = None
        self._is_closed = False

    async def execute(self, stmt: libsql_client.InStatement, args: libsql_client.InArgs = None) -> libsql_client.ResultSet:
        """Run one statement."""
        found: libsql_client.ResultSet = await self._call("run a statement", lambda client: client.execute(_plain(stmt, args)))
        return found

    async def batch(self, stmts: list[libsql_client.InStatement]) -> list[libsql_client.ResultSet]:
        """Run statements in one transaction: all of them take effect, or none."""
        return await self._call("run a batch", lambda client: client.batch([_plain(statement, None) for statement in stmts]))

    def transaction(self) -> MappedTransaction:
        """An interactive transaction; it begins with its first statement."""
        self._check_open()
        return MappedTransaction(self._mapped, self._thread, self._opened)

    async def close(self) -> None:
        """Close the client. Closing twice does no harm."""
        if not self._is_closed:
            self._is_closed = True
            await self._thread.run(self._drop)
            self._thread.stop()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def _check_open(self) -> None:
        if self._is_closed:
            raise DatabaseUnusable("use the client", self._mapped.name, "it is closed", "make another one")

    def _opened(self) -> Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    async def _call(self, operation: str, ask: Callable[[Client], Awaitable[_T]]) -> _T:
        self._check_open()
        try:
            return await self._mapped.call(operation, lambda: ask(self._opened()))
        except DatabaseUnavailable as error:
            if error.code in _BROKEN:  # a refusal, such as that the database is busy, concerns nobody else's calls
                await self._thread.run(self._drop)
            raise

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # it is on its way out, and its faults with it
                await asyncio.wait_for(client.close(), _CLOSE_S)


class MappedTransaction(libsql_client.Transaction):
    """A transaction of another client. Closing without `commit` rolls back. Raises `DatabaseError`.

    A statement that is refused leaves it open; what may pass by itself (`DatabaseUnavailable`), or a cancellation, ends it: the
    server may have rolled it back by then, and what followed would take effect alone.
    """

    def __init__(self, mapped: _Mapped, thread: LoopThread, opened: Callable[[], Client]) -> None:
        self._mapped = mapped
        self._thread = thread
        self._opened = opened
        self._inner: libsql_client.Transaction | None = None
        self._is_closed = False

    async def execute(self, stmt: libsql_client.InStatement, args: libsql_client.InArgs = None) -> libsql_client.ResultSet:
        """Run one statement; the first one begins the transaction."""
        self._check_open("run a statement in a transaction")
        try:
            return await self._mapped.call(
                "run a statement in a transaction", lambda: self._begun().execute(_plain(stmt, args))
            )
        except BaseException as error:
            if isinstance(error, DatabaseUnavailable) or not isinstance(error, DatabaseError):
                self.close()
            raise

    async def commit(self) -> None:
        """Let everything take effect, and close."""
        self._check_open("commit a transaction")
        self._is_closed = True
        if self._inner is not None:
            await self._mapped.call("commit a transaction", self._inner.commit)

    async def rollback(self) -> None:
        """Let nothing take effect, and close."""
        if not self._is_closed:
            self._is_closed = True
            if self._inner is not None:
                await self._mapped.call("roll a transaction back", self._inner.rollback)

    def close(self) -> None:
        """Close; what was not committed is rolled back, without waiting for that."""
        if not self._is_closed:
            self._is_closed = True
            if self._inner is not None and self._thread.is_running:  # else the connection is closed, and the server ended it
                self._thread.start(self._give_up)

    @property
    def closed(self) -> bool:
        """Whether the transaction is over."""
        return self._is_closed

    def _check_open(self, operation: str) -> None:
        if self._is_closed:
            raise DatabaseUnusable(operation, self._mapped.name, "the transaction is over", "begin another one")

    def _begun(self) -> libsql_client.Transaction:
        if self._inner is None:
            self._inner = self._opened().transaction()
        return self._inner

    async def _give_up(self) -> None:
        if self._inner is not None:
            self._inner.close()


def _plain(stmt: libsql_client.InStatement, args: libsql_client.InArgs) -> libsql_client.Statement:
    """The statement with arguments as every driver takes them."""
    statement = libsql_client.Statement.convert(stmt, args)
    arguments = arguments_of(statement.args)
    checked([*arguments.values()] if isinstance(arguments, dict) else arguments)
    return libsql_client.Statement(statement.sql, arguments)
