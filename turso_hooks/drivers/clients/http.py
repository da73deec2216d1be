"""SQL over HTTP behind libsql-client's face, on aiohttp: a real `libsql_client.Client` for Turso Cloud and its like.

libsql-client's own (0.3.1) speaks version 1 of the protocol, which Turso Cloud answers with 404. aiohttp, its sessions and its
connections live on a thread of their own (`loop_thread`), so that asyncio, trio and several event loops share one client.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
import libsql_client

from turso_hooks.drivers import hrana
from turso_hooks.drivers.access import Access
from turso_hooks.drivers.clients.loop_thread import LoopThread
from turso_hooks.drivers.clients.results import arguments_of, result_set
from turso_hooks.drivers.faults import (
    Operation,
    failed_request,
    messages_understood,
    no_transactions,
    refused_request,
    strange_address,
    transaction_over,
)
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
        self._pipeline = _Pipeline(access, timeout_s)
        self._thread = LoopThread()
        self._is_closed = False

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
        """Close the connections. Closing twice does no harm."""
        if not self._is_closed:
            self._is_closed = True
            await self._thread.run(self._pipeline.close)
            self._thread.stop()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def _check_open(self) -> None:
        if self._is_closed:
            raise DatabaseUnusable("use the client", self._name, "it is closed", "make another one")

    async def _ask(self, name: str, request: Callable[[], hrana.Step], read: Callable[[dict[str, Any]], _T]) -> _T:
        self._check_open()
        operation = Operation(name, self._name)
        with messages_understood(operation):
            body = request()
            (result, *_) = await self._thread.run(lambda: self._pipeline.stream(operation, body))
            return read(result)


class HttpTransaction(libsql_client.Transaction):
    """Statements that take effect together, with `commit`. Closing without it rolls back.

    Statements of one transaction run one after the other. One that is refused leaves it open; a failure of the network ends it,
    and whether a `commit` whose answer was lost took effect nobody knows. Raises `DatabaseError`.
    """

    def __init__(self, name: str, pipeline: _Pipeline, thread: LoopThread) -> None:
        self._name = name
        self._pipeline = pipeline
        self._thread = thread
        self._stream: _Stream | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False

    async def execute(self, stmt: libsql_client.InStatement, args: libsql_client.InArgs = None) -> libsql_client.ResultSet:
        """Run one statement; the first one takes the write lock."""
        operation = Operation("run a statement in a transaction", self._name)
        statement = libsql_client.Statement.convert(stmt, args)
        if self._is_closed:
            raise DatabaseUnusable(operation.name, self._name, "the transaction is over", "begin another one")
        with messages_understood(operation):
            request = hrana.execute(statement.sql, arguments_of(statement.args))
            return result_set(hrana.rows_of(await self._thread.run(lambda: self._next(operation, request))))

    async def commit(self) -> None:
        """Let everything take effect, and close."""
        if self._is_closed:
            raise DatabaseUnusable("commit a transaction", self._name, "the transaction is over", "begin another one")
        await self._end("COMMIT", Operation("commit a transaction", self._name))

    async def rollback(self) -> None:
        """Let nothing take effect, and close."""
        if not self._is_closed:
            await self._end("ROLLBACK", Operation("roll a transaction back", self._name))

    def close(self) -> None:
        """Close; what was not committed is rolled back, without waiting for that."""
        if not self._is_closed:
            self._is_closed = True
            self._thread.start(self._give_up)

    @property
    def closed(self) -> bool:
        """Whether the transaction is over."""
        return self._is_closed

    async def _next(self, operation: Operation, request: hrana.Step) -> dict[str, Any]:
        async with self._turn:
            try:
                if self._stream is None:
                    self._stream = await self._pipeline.begin(operation)
                (result, *_) = await self._stream.post(operation, [request])
            except BaseException:
                self._is_closed = True
                await self._pipeline.forget(self._stream)
                raise
            return result

    async def _end(self, sql: str, operation: Operation) -> None:
        self._is_closed = True
        with messages_understood(operation):
            result = await self._thread.run(lambda: self._last(sql, operation))
            if result is not None:
                hrana.rows_of(result)

    async def _last(self, sql: str, operation: Operation) -> dict[str, Any] | None:
        async with self._turn:
            if self._stream is None:  # nothing was asked for, so nothing has begun
                return None
            (result, *_) = await self._stream.post(operation, [hrana.execute(sql), hrana.close()])
            return result

    async def _give_up(self) -> None:
        async with self._turn:
            await self._pipeline.forget(self._stream)


class _Pipeline:
    """Requests to one server. All of it runs on the loop of the client's thread."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        self.access = access
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closes_streams = True
        self._has_streams = False

    async def stream(self, operation: Operation, request: hrana.Step) -> list[dict[str, Any]]:
        """The results of a request that is a stream of its own."""
        while True:
            requests = [request, hrana.close()] if self._closes_streams else [request]
            status, headers, body = await self.post(operation, self.access.server.url, hrana.request_body(requests))
            if status == HTTPStatus.OK:
                return hrana.read_answer(body).results_of(len(requests))
            if not (self._closes_streams and hrana.knows_no_close(body)):
                raise refused_request(operation, status, headers, body)
            self._closes_streams = False

    async def begin(self, operation: Operation) -> _Stream:
        """A stream in which a transaction has begun.

        A server without streams, as Turso's own, has one connection for everybody: a BEGIN there would swallow what others
        write. So it is asked for something harmless first.
        """
        stream = _Stream(self, self.access.server.url)
        if not self._has_streams:
            await stream.post(operation, [hrana.execute("SELECT 1")])
            if stream.baton is None:
                raise no_transactions(operation)
            self._has_streams = True
        (result, *_) = await stream.post(operation, [hrana.execute("BEGIN IMMEDIATE")])
        try:
            hrana.rows_of(result)
        except hrana.Refusal:
            await self.forget(stream)
            raise
        return stream

    async def forget(self, stream: _Stream | None) -> None:
        """End a stream, if the server can be told; it ends an idle one by itself after 10 s."""
        if stream is not None and stream.baton is not None:
            try:
                await stream.post(Operation("end a transaction", ""), [hrana.close()])
            except (DatabaseError, hrana.AnswerUnreadable):
                stream.baton = None

    async def post(self, operation: Operation, url: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request; status, headers with names in lower case, and body of the answer."""
        self.access.check(operation)
        try:
            async with self._opened().post(url + hrana.PATH, data=body, allow_redirects=False) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return answer.status, headers, await answer.read()
        except asyncio.TimeoutError:  # a class of its own before Python 3.11
            raise failed_request(operation, TimeoutError(), self._timeout_s) from None
        except (aiohttp.ClientError, OSError) as error:
            raise failed_request(operation, error, self._timeout_s) from error

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()

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
        return self._session


class _Stream:
    """A connection of the server's that goes on from request to request: which one is said by a baton, where by its URL."""

    def __init__(self, pipeline: _Pipeline, url: str) -> None:
        self._pipeline = pipeline
        self._url = url
        self.baton: str | None = None

    async def post(self, operation: Operation, requests: Sequence[hrana.Step]) -> list[dict[str, Any]]:
        """The results of requests in this stream. After a failure it is over."""
        baton, self.baton = self.baton, None
        status, headers, body = await self._pipeline.post(operation, self._url, hrana.request_body(requests, baton))
        if status != HTTPStatus.OK:
            error = refused_request(operation, status, headers, body)
            raise transaction_over(error) if baton is not None else error
        answer = hrana.read_answer(body)
        self.baton = answer.baton
        if answer.base_url:
            self._url = self._checked(operation, answer.base_url.rstrip("/"))
        return answer.results_of(len(requests))

    def _checked(self, operation: Operation, url: str) -> str:
        """Where a server says the stream goes on; the token goes there too, but never unencrypted where it was not before."""
        if not url.startswith(("https://",) if self._pipeline.access.server.is_encrypted else ("https://", "http://")):
            raise strange_address(operation)
        return url
