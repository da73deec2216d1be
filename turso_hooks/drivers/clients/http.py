"""SQL over HTTP behind libsql-client's face, on aiohttp: a real `libsql_client.Client` for Turso Cloud and its like.

libsql-client's own (0.3.1) speaks version 1 of the protocol, which Turso Cloud answers with 404. aiohttp, its sessions and its
connections live on a thread of their own (`loop_thread`), so that asyncio, trio and several event loops share one client.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
import libsql_client

from turso_hooks.drivers import hrana
from turso_hooks.drivers.access import Access
from turso_hooks.drivers.clients.loop_thread import LoopThread
from turso_hooks.drivers.clients.results import arguments_of, result_set
from turso_hooks.drivers.database import Rows
from turso_hooks.drivers.faults import (
    Operation,
    failed_request,
    messages_understood,
    no_transactions,
    refused_request,
    strange_address,
    transaction_over,
)
from turso_hooks.drivers.urls import DatabaseTarget, Server, parse_database_url
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable, SettingsError

_T = TypeVar("_T")

_CLOSE_S = 1.0
"""How long a client that is closed waits for its transactions to be rolled back; the server gives each 5 s by itself."""


class HttpClient(libsql_client.Client):
    """A database server over HTTP. Connects at first use; any number of calls may be under way at once.

    `timeout_s` is for each request, from connecting to the last byte of the answer. Every method raises `DatabaseError`; one
    that was cancelled, or whose answer was lost, may have taken effect.
    """

    def __init__(self, target: DatabaseTarget, access: Access, *, timeout_s: float) -> None:
        self._name = target.name
        self._pipeline = _Pipeline(access, timeout_s)
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

    def __init__(self, name: str, pipeline: _Pipeline, thread: LoopThread) -> None:
        self._name = name
        self._thread = thread
        self._access = pipeline.access
        self._stream = _Stream(pipeline)
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


class _Pipeline:
    """Requests to one server. All of it runs on the loop of the client's thread."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        self.access = access
        self.has_streams = False
        self.streams: set[_Stream] = set()
        self.is_closed = False
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closes_streams = True

    async def ask(self, operation: Operation, request: hrana.Step) -> list[dict[str, Any]]:
        """The results of a request that is a stream of its own."""
        while True:
            requests = [request, hrana.close()] if self._closes_streams else [request]
            status, headers, body = await self.post(operation, self.access, hrana.request_body(requests))
            if status == HTTPStatus.OK:
                return hrana.read_answer(body).results_of(len(requests))
            if not (self._closes_streams and hrana.knows_no_close(body)):
                raise refused_request(operation, status, headers, body)
            self._closes_streams = False

    async def post(self, operation: Operation, access: Access, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request; status, headers with names in lower case, and body of the answer."""
        access.check(operation)
        try:
            async with self._opened().post(access.server.url + hrana.PATH, data=body, allow_redirects=False) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return answer.status, headers, operation.without_secret(await answer.read())
        except asyncio.TimeoutError:  # a class of its own before Python 3.11
            raise failed_request(operation, TimeoutError(), self._timeout_s) from None
        except (aiohttp.ClientError, OSError) as error:
            raise failed_request(operation, error, self._timeout_s) from None  # aiohttp's own hold the request's headers

    async def close(self) -> None:
        """Roll back what was not committed, and close the connections."""
        if self._session is not None and self._loop is asyncio.get_running_loop():
            leaving = [stream.leave() for stream in self.streams]
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.gather(*leaving), _CLOSE_S)
            await self._session.close()
        self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:  # in a forked child it is another loop
            tls = ssl.create_default_context() if self.access.server.is_encrypted else True
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls),
                headers=self.access.headers(),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            self._loop = loop
            self.streams = set()  # a child does not end its parent's transactions
        return self._session


class _Stream:
    """A transaction on the server, which goes on from request to request: which one is said by a baton, where by its URL.

    All of it runs on the loop of the client's thread, one request after the other.
    """

    def __init__(self, pipeline: _Pipeline) -> None:
        self.is_over = False
        self._pipeline = pipeline
        self._access = pipeline.access
        self._baton: str | None = None
        self._has_begun = False
        self._turn = asyncio.Lock()

    async def run(self, operation: Operation, request: hrana.Step) -> Rows:
        """The rows of a statement. After anything but the refusal of a statement it is over."""
        async with self._turn:
            try:
                with messages_understood(operation):
                    if not (self._has_begun or self.is_over):
                        await self._begin(operation)
                    return hrana.rows_of(await self._go_on(operation, [request]))
            except BaseException as error:
                if not (self._has_begun and self._baton and _is_refusal(error)):
                    await self._drop()
                raise

    async def finish(self, operation: Operation, sql: str) -> None:
        """Commit or roll back, and end it."""
        async with self._turn:
            try:
                if self._has_begun:  # otherwise nothing was asked for
                    with messages_understood(operation):
                        hrana.rows_of(await self._go_on(operation, [hrana.execute(sql), hrana.close()]))
            finally:
                await self._drop()

    async def leave(self) -> None:
        """End it, if the server can be told; it ends an idle one by itself after 10 s."""
        async with self._turn:
            await self._drop()

    async def _begin(self, operation: Operation) -> None:
        """Take the write lock.

        A server without streams, as Turso's own, has one connection for everybody: a BEGIN there would swallow what others
        write. So it is asked for something harmless first.
        """
        if not self._pipeline.has_streams:
            await self._post(operation, [hrana.execute("SELECT 1")])
            if self._baton is None:
                raise no_transactions(operation)
            self._pipeline.has_streams = True
        hrana.rows_of(await self._post(operation, [hrana.execute("BEGIN IMMEDIATE")]))
        self._has_begun = True
        self._pipeline.streams.add(self)

    async def _go_on(self, operation: Operation, requests: Sequence[hrana.Step]) -> dict[str, Any]:
        """The first result of requests in what has begun: without a baton they would be none of it, and take effect alone."""
        if self._baton is None:
            raise transaction_over(DatabaseUnavailable(operation.name, operation.target, "the server has ended it"))
        return await self._post(operation, requests)

    async def _drop(self) -> None:
        self.is_over = True
        if self._baton is not None:
            with suppress(DatabaseError, hrana.AnswerUnreadable):
                await self._post(self._access.operation("end a transaction", ""), [hrana.close()])
            self._baton = None
        self._pipeline.streams.discard(self)

    async def _post(self, operation: Operation, requests: Sequence[hrana.Step]) -> dict[str, Any]:
        baton, self._baton = self._baton, None
        status, headers, body = await self._pipeline.post(operation, self._access, hrana.request_body(requests, baton))
        if status != HTTPStatus.OK:
            error = refused_request(operation, status, headers, body)
            raise transaction_over(error) if baton is not None and isinstance(error, DatabaseUnusable) else error
        answer = hrana.read_answer(body)
        if answer.base_url:
            self._access = replace(self._access, server=self._server_at(operation, answer.base_url))
        self._baton = answer.baton
        return answer.results_of(len(requests))[0]

    def _server_at(self, operation: Operation, url: str) -> Server:
        """Where a server says the stream goes on: the token goes there too, but never unencrypted where it was not before."""
        try:
            server = parse_database_url(url).server
        except SettingsError:
            server = None
        if server is None or server.scheme not in {"http", "https"}:
            raise strange_address(operation)
        known = self._access.server
        if not _is_near(known.host, server.host) or (known.is_encrypted and not server.is_encrypted):
            raise strange_address(operation)
        try:
            replace(self._access, server=server).check(operation)
        except DatabaseUnusable:
            raise strange_address(operation) from None
        return server


def _is_near(known: str, other: str) -> bool:
    """Whether another host is the known one, or of the same domain: Turso's databases have a name in each region."""
    domain = known.partition(".")[2]
    is_name = "." in domain and not known.replace(".", "").isdigit()
    return other == known or (is_name and other.endswith(f".{domain}"))


def _is_refusal(error: BaseException) -> bool:
    """Whether a statement was refused, and its transaction is what it was."""
    return isinstance(error, DatabaseError) and not isinstance(error, DatabaseUnavailable)
