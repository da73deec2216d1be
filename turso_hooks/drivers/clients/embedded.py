"""A SQLite file behind libsql-client's face, through the embedded driver.

libsql-client's own opens a connection a call, waits for no lock and blocks the event loop. Every call here runs on a worker
thread, under asyncio and trio alike.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import libsql_client

from turso_hooks.drivers.clients.results import arguments_of, result_set
from turso_hooks.drivers.embedded import EmbeddedDatabase
from turso_hooks.errors import DatabaseUnavailable, DatabaseUnusable

_T = TypeVar("_T")


class EmbeddedClient(libsql_client.Client):
    """A SQLite file behind libsql-client's face. Raises `DatabaseError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = EmbeddedDatabase(path)
        self._is_closed = False

    async def execute(self, stmt: libsql_client.InStatement, args: libsql_client.InArgs = None) -> libsql_client.ResultSet:
        """Run one statement."""
        return await self._run(_execute, self._database, libsql_client.Statement.convert(stmt, args))

    async def batch(self, stmts: list[libsql_client.InStatement]) -> list[libsql_client.ResultSet]:
        """Run statements in one transaction: all of them take effect, or none."""
        return await self._run(_batch, self._path, [libsql_client.Statement.convert(statement) for statement in stmts])

    def transaction(self) -> EmbeddedTransaction:
        """An interactive transaction, on a connection of its own; it begins with its first statement."""
        self._check_open()
        return EmbeddedTransaction(self._path)

    async def close(self) -> None:
        """Close the connection. Closing twice does no harm."""
        self._is_closed = True
        await anyio.to_thread.run_sync(self._database.close)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def _check_open(self) -> None:
        if self._is_closed:
            raise DatabaseUnusable("use the client", self._database.name, "it is closed", "make another one")

    async def _run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        self._check_open()
        return await anyio.to_thread.run_sync(function, *arguments)


class EmbeddedTransaction(libsql_client.Transaction):
    """Statements that take effect together, with `commit`. Closing without it rolls back.

    Statements of one transaction run one after the other. One that is refused leaves it open; whatever may pass by itself
    (`DatabaseUnavailable`) ends it: SQLite rolls back where the disk is full, and what followed would take effect alone.
    """

    def __init__(self, path: Path) -> None:
        self._database = EmbeddedDatabase(path)
        self._turn = anyio.Lock()
        self._has_begun = False
        self._is_closed = False

    async def execute(self, stmt: libsql_client.InStatement, args: libsql_client.InArgs = None) -> libsql_client.ResultSet:
        """Run one statement; the first one takes the write lock."""
        statement = libsql_client.Statement.convert(stmt, args)
        async with self._turn:
            try:
                await self._begin()
                return await anyio.to_thread.run_sync(_execute, self._database, statement)
            except DatabaseUnavailable:
                self.close()
                raise

    async def commit(self) -> None:
        """Let everything take effect, and close."""
        self._check_open()
        await self._end("COMMIT")

    async def rollback(self) -> None:
        """Let nothing take effect, and close."""
        if not self._is_closed:
            await self._end("ROLLBACK")

    def close(self) -> None:
        """Close; what was not committed is rolled back."""
        self._is_closed = True
        self._database.close()

    @property
    def closed(self) -> bool:
        """Whether the transaction is over."""
        return self._is_closed

    def _check_open(self) -> None:
        if self._is_closed:
            raise DatabaseUnusable("use the transaction", self._database.name, "the transaction is over", "begin another one")

    async def _begin(self) -> None:
        self._check_open()
        if not self._has_begun:
            await anyio.to_thread.run_sync(self._database.execute, "BEGIN IMMEDIATE")
            self._has_begun = True

    async def _end(self, sql: str) -> None:
        if self._has_begun:
            await anyio.to_thread.run_sync(self._database.execute, sql)
        self.close()


def _batch(path: Path, statements: list[libsql_client.Statement]) -> list[libsql_client.ResultSet]:
    database = EmbeddedDatabase(path)
    try:
        database.execute("BEGIN IMMEDIATE", operation="begin a batch")
        results = [_execute(database, statement) for statement in statements]
        database.execute("COMMIT", operation="commit a batch")
    finally:
        database.close()
    return results


def _execute(database: EmbeddedDatabase, statement: libsql_client.Statement) -> libsql_client.ResultSet:
    return result_set(database.execute(statement.sql, arguments_of(statement.args), operation="run a statement"))
