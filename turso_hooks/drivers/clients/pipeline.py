"""Requests to a server over HTTP, on aiohttp, and transactions that go on from one of them to the next.

All of it runs on one event loop, that of the client's thread (`loop_thread`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import aiohttp

from turso_hooks.drivers import hrana
from turso_hooks.drivers.access import Access
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
from turso_hooks.drivers.urls import Server, parse_database_url
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable, SettingsError

_CLOSE_S = 1.0
"""How long a client that is closed waits for its transactions to be rolled back; the server gives each 5 s by itself."""


class Pipeline:
    """Requests to one server."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        self.access = access
        self.has_streams = False
        self.streams: set[Stream] = set()
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


class Stream:
    """A transaction on the server, which goes on from request to request: which one is said by a baton, where by its URL.

    Its requests come one after the other.
    """

    def __init__(self, pipeline: Pipeline) -> None:
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
