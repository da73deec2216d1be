"""One HTTP request after the other to one server, blocking, on one connection that is kept between them.

The standard library's `http.client`, not aiohttp: this runs on the shipping thread of other people's programs. It costs 15 ms
to import where aiohttp costs 275 and stalls the agent's threads meanwhile; it has no event loop whose descriptors a forked
child would share with its parent; and it needs no executor, which Python refuses to start once the interpreter is ending,
which is when a short program ships all it has. What http.client lacks is added here: one deadline for the whole request, name
resolution aside, which the system does not let anybody interrupt.

Never follows a redirect, uses no proxy, and sends the token nowhere but to the address it was given.
"""

from __future__ import annotations

import http.client
import io
import os
import select
import socket
import ssl
import time
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

from turso_hooks.drivers.sockets import addresses_of, connect, left_s
from turso_hooks.drivers.urls import Server

_IDLE_S = 15.0
"""How long an unused connection is thought good: routers forget idle ones without a word, some after less than a minute."""

_inherited: list[object] = []
"""What a forked child has of its parent: kept, for a thread that is not there may hold the lock that closing would wait for."""

FAILURES = (OSError, http.client.HTTPException, UnicodeError)
"""What `Connection.post` raises."""


class Answer(NamedTuple):
    """Status, headers (names in lower case) and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """The connection to one server. To be used by one thread at a time; after a fork, the child's opens anew.

    `post` raises what sockets, ssl and http.client raise: one of `FAILURES`.
    """

    def __init__(self, server: Server, headers: dict[str, str], timeout_s: float) -> None:
        self._server = server
        self._headers = headers
        self._timeout_s = timeout_s
        self._http: _Http | None = None
        self._process_id = 0
        self._used_at = 0.0
        self._tls: ssl.SSLContext | None = None

    def post(self, path: str, body: bytes) -> Answer:
        """Send a request and read its answer, within the timeout."""
        deadline = time.monotonic() + self._timeout_s
        connection = self._connection(deadline)
        try:
            self._send(connection, path, body)
            answer = _answer(connection.getresponse())
        except BaseException:
            self.close()
            raise
        self._used_at = time.monotonic()
        return answer

    def _send(self, connection: _Http, path: str, body: bytes) -> None:
        try:
            connection.request("POST", self._server.path + path, body, self._headers)
        except (BrokenPipeError, ConnectionResetError):
            # Who refuses a large request may have answered and closed before all of it was sent; if not, reading fails too.
            if connection.link is None:
                raise

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._http = self._http, None
        if connection is not None:
            with suppress(OSError):
                connection.close()

    def _connection(self, deadline: float) -> _Http:
        if self._http is not None and self._process_id != os.getpid():
            _inherited.append(self._http)
            self._http = None
        if self._http is not None and not self._is_good():
            self.close()
        if self._http is None:
            self._http = _Http(self._server, self._tls_context())
            self._process_id = os.getpid()
        self._http.deadline = deadline
        return self._http

    def _is_good(self) -> bool:
        """Whether the connection can be used again, as far as can be seen: the server has not closed it."""
        link = None if self._http is None else self._http.link
        if link is None:
            return True  # the server wanted it closed, so it is not open yet
        if time.monotonic() - self._used_at > _IDLE_S:
            return False
        readable = select.poll()
        readable.register(link, select.POLLIN)
        return not readable.poll(0)  # something to read before anything was asked is the end of it

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._server.is_encrypted and self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _answer(response: http.client.HTTPResponse) -> Answer:
    if response.status < HTTPStatus.OK:  # http.client knows no interim answer but 100; what follows would be the next one's
        raise http.client.UnknownProtocol(str(response.status))
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


class _Http(http.client.HTTPConnection):
    """A connection on which every wait ends at `deadline`, which is set before each request."""

    debuglevel = 0  # whoever debugs http.client in the host's program shall not print our token and conversations

    def __init__(self, server: Server, tls: ssl.SSLContext | None) -> None:
        super().__init__(server.host, server.port)
        self.default_port = 443 if tls else 80  # decides whether the Host header names the port
        self.deadline = 0.0
        self._context = tls

    @property
    def link(self) -> socket.socket | None:
        """The socket, if it is open."""
        return None if self.sock is None else self.sock.link  # type: ignore[union-attr]  # `connect` put a `_Timed` there

    def connect(self) -> None:
        link = connect(addresses_of(self.host, self.port), self.deadline).link
        try:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                link.settimeout(left_s(self.deadline))
                link = self._context.wrap_socket(link, server_hostname=self.host)
        except BaseException:
            link.close()
            raise
        self.sock = _Timed(link, self)


class _Timed:
    """What http.client needs of a socket: before each wait the time that is left is set."""

    def __init__(self, link: socket.socket, connection: _Http) -> None:
        self.link = link
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        self.link.settimeout(left_s(self._connection.deadline))
        self.link.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self.link.makefile("rb", buffering=0), self.link, self._connection))

    def close(self) -> None:
        self.link.close()  # an answer that is still being read keeps it open


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, link: socket.socket, connection: _Http) -> None:
        self._raw = raw
        self._link = link
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]  # typeshed has a name for it, 3.10 has not
        self._link.settimeout(left_s(self._connection.deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
