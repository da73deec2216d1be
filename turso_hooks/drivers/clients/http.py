"""SQL over HTTP behind libsql-client's face, on aiohttp: a real `libsql_client.Client` for Turso Cloud and its like.

libsql-client's own (0.3.1) speaks version 1 of the protocol, which Turso Cloud answers with 404. aiohttp, its sessions and its
connections live on a thread of their own (`loop_thread`), so that asyncio, trio and several event loops share one client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import libsql_client

from turso_hooks.drivers import hrana
from turso_hooks.drivers.access import Access
from turso_hooks.drivers.clients.loop_thread import LoopThread
from turso_hooks.drivers.clients.pipeline import Pipeline, Stream
from turso_hooks.drivers.clients.results import arguments_of, result_set
from turso_hooks.drivers.faults import Operation, messages_understood
from turso_hooks.drivers.urls import DatabaseTarget
from turso_hooks.errors import DatabaseError, DatabaseUnusable

_T = TypeVar("_T")


class HttpClient(libsql_client.Client):
    """A database server over HTTP. Connects at first use; any number of calls may be under way at once.

    `timeout_s` is for each request, from connecting to the last byte of the answer. Every method raises `DatabaseError`; one
    that was cancelled, or whose answer was lost, may have taken effect.
    """

    def __init__(self, target: DatabaseTarget, access: Access, *, timeout_s: float) -> None:
        self._name = target.name
        self._pipeline = Pipeline(access, timeout_s)
        self._thread = LoopThread()

    async def execute(self, stmt: libsql_client.InStatement, args: libsql_client.InArgs = None) -> libsql_client.ResultSet:
        """Run one statement."""
        statement = libsql_client.Statement.convert(stmt, args)
        rows = await self._ask(
            "run a statement", lambda: hrana.execute(statement.sql, arguments_of(statement.args)), hrana.rows_of
        )
        return result_set(rows)

    async def batch(self, stmts: list[libsql_client.InStatement]) -> list[libsql_client.ResultSet]:
        """Run statements in one transaction, which is one request: all of them take effect, or none."""
        statements = [libsql_client.Statement.convert(statement) for statement in stmts]
        found = await self._ask(
            "run a batch",
            lambda: hrana.transaction((statement.sql, arguments_of(statement.args)) for statement in statements),
            hrana.batch_rows_of,
        )
        return [result_set(rows) for rows in found]

    def transaction(self) -> HttpTransaction:
        """An interactive transaction; it begins with its first statement. libsql-server ends one that takes more than 5 s."""
        self._check_open()
        return HttpTransaction(self._name, self._pipeline, self._thread)

    async def close(self) -> None:
        """Roll back the transactions that are open, and close the connections. Closing twice does no harm."""
        if not self._pipeline.is_closed:
            self._pipeline.is_closed = True
            try:
                await self._thread.run(self._pipeline.close)
            finally:
                self._thread.stop()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._pipeline.is_closed

    def _check_open(self) -> None:
        if self.closed:
            raise DatabaseUnusable("use the client", self._name, "it is closed", "make another one")

    async def _ask(self, name: str, request: Callable[[], hrana.Step], read: Callable[[dict[str, Any]], _T]) -> _T:
        self._check_open()
        operation = self._pipeline.access.operation(name, self._name)
        with messages_understood(operation):
            body = request()
            (result, *_) = await self._thread.run(lambda: self._pipeline.ask(operation, body))
            return read(result)


class HttpTransaction(libsql_client.Transaction):
    """Statements that take effect together, with `commit`. Closing it, or the client, without that rolls back.

    Statements of one transaction run one after the other. One that is refused leaves it open; whatever may pass by itself
    (`DatabaseUnavailable`) ends it: the server may have rolled it back by then, and what followed would take effect alone.
    Whether a `commit` whose answer was lost took effect nobody knows. Raises `DatabaseError`.
    """

    def __init__(self, name: str, pipeline: Pipeline, thread: LoopThread) -> None:
        self._name = name
        self._thread = thread
        self._access = pipeline.access
        self._stream = Stream(pipeline)
        self._is_closed = False

    async def execute(self, stmt: libsql_client.InStatement, args: libsql_client.InArgs = None) -> libsql_client.ResultSet:
        """Run one statement; the first one takes the write lock."""
        operation = self._operation("run a statement in a transaction")
        statement = libsql_client.Statement.convert(stmt, args)
        self._check_open(operation)
        with messages_understood(operation):
            request = hrana.execute(statement.sql, arguments_of(statement.args))
        try:
            return result_set(await self._thread.run(lambda: self._stream.run(operation, request)))
        except DatabaseError:
            raise
        except BaseException:  # cancelled: whether the statement is part of the transaction nobody knows
            self.close()
            raise

    async def commit(self) -> None:
        """Let everything take effect, and close."""
        operation = self._operation("commit a transaction")
        self._check_open(operation)
        self._is_closed = True
        await self._thread.run(lambda: self._stream.finish(operation, "COMMIT"))

    async def rollback(self) -> None:
        """Let nothing take effect, and close."""
        if not self.closed:
            self._is_closed = True
            await self._thread.run(lambda: self._stream.finish(self._operation("roll a transaction back"), "ROLLBACK"))

    def close(self) -> None:
        """Close; what was not committed is rolled back, without waiting for that."""
        if not self.closed:
            self._is_closed = True
            self._thread.start(self._stream.leave)

    @property
    def closed(self) -> bool:
        """Whether the transaction is over."""
        return self._is_closed or self._stream.is_over

    def _operation(self, name: str) -> Operation:
        return self._access.operation(name, self._name)

    def _check_open(self, operation: Operation) -> None:
        if self.closed:
            raise DatabaseUnusable(operation.name, self._name, "the transaction is over", "begin another one")
