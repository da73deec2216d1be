"""The blocking connection to a server: reuse, deadlines, forks."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from serving.proxy import Proxy
from serving.servers import LibsqlServer, Nginx, TursoServer
from turso_hooks.drivers import Database, open_database, parse_database_url
from turso_hooks.errors import DatabaseUnavailable


def opened(url: str, timeout_s: float = 5.0) -> Database:
    return open_database(parse_database_url(url), request_timeout_s=timeout_s)


def test_requests_share_one_connection(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    with opened(network.url) as database:
        for n in range(20):
            assert database.execute("SELECT ?", (n,)).rows == [(n,)]
    assert (network.connections, network.requests) == (1, 20)


def test_requests_share_one_connection_with_tls_too(
    libsql_server: LibsqlServer,
    nginx: Callable[[str], Nginx],
    proxy: Callable[[int], Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    front = nginx(libsql_server.url)
    network = proxy(front.tls_port)
    monkeypatch.setenv("SSL_CERT_FILE", str(front.ca_file))
    with opened(f"libsql://localhost:{network.port}") as database:
        for n in range(20):
            assert database.execute("SELECT ?", (n,)).rows == [(n,)]
    assert network.connections == 1


def test_threads_wait_for_each_other(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    found: list[object] = []
    with opened(network.url) as database:
        asked = [threading.Thread(target=lambda n=n: found.append(database.execute("SELECT ?", (n,)).rows)) for n in range(20)]
        for thread in asked:
            thread.start()
        for thread in asked:
            thread.join()
    assert sorted(found) == [[(n,)] for n in range(20)]  # type: ignore[type-var]
    assert network.connections == 1


def test_a_connection_the_server_closed_meanwhile_is_not_used_again(libsql_server: LibsqlServer) -> None:
    with opened(libsql_server.url) as database:
        database.execute("SELECT 1")
        libsql_server.restart()
        assert database.execute("SELECT 1").rows == [(1,)]


def test_a_server_that_has_no_streams_is_asked_in_its_own_way(turso_server: TursoServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(turso_server.port)
    with opened(network.url) as database:
        for _ in range(3):
            database.execute("SELECT 1")
    assert network.requests == 4, "the first one twice, as this server knows no close"


def test_no_stream_is_left_open(libsql_server: LibsqlServer) -> None:
    """libsql-server has 128 of them, keeps each for ten seconds, and refuses more."""
    with opened(libsql_server.url) as database:
        for _ in range(300):
            database.execute("SELECT 1")


@pytest.fixture
def trickle() -> Iterator[Callable[[bytes], str]]:
    """Serve bytes one by one, slowly, to whoever connects."""
    ended = threading.Event()
    with contextlib.ExitStack() as stack:

        def serve(answer: bytes) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run() -> None:
                with listener.accept()[0] as link, contextlib.suppress(OSError):
                    for byte in answer:
                        if ended.wait(0.01):
                            return
                        link.sendall(bytes([byte]))

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield serve
        ended.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nx-header: " + b"x" * 5000,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 90,
        b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000,
    ],
)
def test_a_server_that_sends_a_byte_now_and_then_does_not_hold_us(answer: bytes, trickle: Callable[[bytes], str]) -> None:
    with opened(trickle(answer), timeout_s=0.5) as database:
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="no answer within 0.5 s"):
            database.execute("SELECT 1")
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 2", b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", b"\0" * 50 + b"\n"],
)
def test_a_server_that_is_something_else_is_told_as_such(answer: bytes, trickle: Callable[[bytes], str]) -> None:
    with opened(trickle(answer)) as database, pytest.raises(DatabaseUnavailable, match="the connection broke off"):
        database.execute("SELECT 1")


def test_a_forked_child_has_a_connection_of_its_own(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    with opened(network.url) as database:
        database.execute("SELECT 1")
        pid = os.fork()
        if pid == 0:
            right = database.execute("SELECT 2").rows == [(2,)]
            os._exit(0 if right else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert database.execute("SELECT 3").rows == [(3,)]
    assert network.connections == 2
