"""Clients of libsql-client's kind: real `libsql_client.Client` objects, for whoever wants to ask the database by hand.

For a file it is the embedded driver behind libsql-client's face: its own opens a connection a call, waits for no lock and
blocks the event loop. Every call here runs on a worker thread, under asyncio and trio alike. For a server it is
libsql-client's own client.

Importing this module imports libsql_client, and with it aiohttp (275 ms).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import libsql_client

from turso_hooks.drivers.embedded import EmbeddedDatabase, Rows
from turso_hooks.drivers.urls import DatabaseTarget
from turso_hooks.errors import DatabaseUnusable

_T = TypeVar("_T")


def create_client(target: DatabaseTarget, url: str, auth_token: str | None) -> libsql_client.Client:
    """A client for the database. Raises `DatabaseUnusable` for a URL that libsql-client does not take."""
    if target.path is not None:
        return EmbeddedClient(target.path)
    try:
        return libsql_client.create_client(url, auth_token=auth_token)
    except libsql_client.LibsqlError as error:
        raise DatabaseUnusable("make a client", target.name, str(error)) from error


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
    """Statements that take effect together, with `commit`. Closing without it rolls back."""

    def __init__(self, path: Path) -> None:
        self._database = EmbeddedDatabase(path)
        self._has_begun = False
        self._is_closed = False

    async def execute(self, stmt: libsql_client.InStatement, args: libsql_client.InArgs = None) -> libsql_client.ResultSet:
        """Run one statement; the first one takes the write lock."""
        await self._begin()
        return await anyio.to_thread.run_sync(_execute, self._database, libsql_client.Statement.convert(stmt, args))

    async def commit(self) -> None:
        """Let everything take effect, and close."""
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

    async def _begin(self) -> None:
        if self._is_closed:
            raise DatabaseUnusable("use the transaction", self._database.name, "it is over", "begin another one")
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
    return _result_set(database.execute(statement.sql, _arguments(statement.args), operation="run a statement"))


def _arguments(arguments: Any) -> Sequence[Any] | dict[str, Any]:
    if isinstance(arguments, dict):
        return {name.lstrip(":@$"): _value(value) for name, value in arguments.items()}
    return [_value(value) for value in arguments or ()]


def _value(value: Any) -> Any:
    """As libsql-client binds it: a datetime as milliseconds since 1970, a boolean as 0 or 1."""
    timestamp = getattr(value, "timestamp", None)
    if callable(timestamp):
        return int(timestamp() * 1000)
    return int(value) if isinstance(value, bool) else value


def _result_set(rows: Rows) -> libsql_client.ResultSet:
    positions = {name: position for position, name in enumerate(rows.columns)}
    found = [libsql_client.Row(positions, row) for row in rows.rows]
    return libsql_client.ResultSet(rows.columns, found, rows.changes, rows.last_row_id)
