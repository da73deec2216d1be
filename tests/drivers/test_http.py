"""The blocking connection to a server: reuse, deadlines, forks."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from serving.proxy import Proxy
from serving.servers import LibsqlServer, Nginx, TursoServer
from turso_hooks.drivers import Database, open_database, parse_database_url, sockets
from turso_hooks.errors import DatabaseUnavailable, RequestTooLarge


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
def answering() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Serve each connection by a function, on a thread of its own."""
    with contextlib.ExitStack() as stack:

        def serve(answer: Callable[[socket.socket], None]) -> str:
            listener = socket.create_server(("127.0.0.1", 0))

            def one(link: socket.socket) -> None:
                with link, contextlib.suppress(OSError):
                    answer(link)

            def run() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            stack.callback(listener.close)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield serve


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


def test_a_child_forked_while_an_answer_is_read_is_not_held(answering: Callable[..., str]) -> None:
    is_reading = threading.Event()

    def half_an_answer(link: socket.socket) -> None:
        link.recv(1 << 16)
        link.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
        is_reading.set()
        link.recv(1)

    def ask() -> None:
        with contextlib.suppress(DatabaseUnavailable):
            database.execute("SELECT 1")

    with opened(answering(half_an_answer), timeout_s=1) as database:
        parent = threading.Thread(target=ask)
        parent.start()
        assert is_reading.wait(5)
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)  # ends the child if it hangs
            try:
                database.execute("SELECT 2")
            except DatabaseUnavailable:
                os._exit(0)
            os._exit(1)
        parent.join()
        assert os.waitpid(pid, 0)[1] == 0


def test_who_refuses_before_all_was_sent_is_heard(answering: Callable[..., str]) -> None:
    """As nginx does it with a body that is too large, on a connection that it then closes."""

    def refuse(link: socket.socket) -> None:
        link.recv(4096)
        link.sendall(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        link.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            link.settimeout(0.2)
            link.recv(4096)

    with opened(answering(refuse)) as database, pytest.raises(RequestTooLarge):
        database.execute("SELECT ?", ("x" * 3_000_000,))


def test_an_interim_answer_is_not_taken_for_the_answer(answering: Callable[..., str]) -> None:
    def hints_first(link: socket.socket) -> None:
        link.recv(1 << 16)
        link.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    with opened(answering(hints_first)) as database, pytest.raises(DatabaseUnavailable, match="the connection broke off"):
        database.execute("SELECT 1")


def test_after_an_answer_that_is_none_the_connection_is_not_used_again(answering: Callable[..., str]) -> None:
    connections = []

    def odd(link: socket.socket) -> None:
        connections.append(link)
        while link.recv(1 << 16):
            link.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nodd!")

    with opened(answering(odd)) as database:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable, match="not that of a database"):
                database.execute("SELECT 1")
    assert len(connections) == 2


def test_an_answer_nested_without_end_is_none(answering: Callable[..., str]) -> None:
    body = b"[" * 200_000

    def nested(link: socket.socket) -> None:
        link.recv(1 << 16)
        link.sendall(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (statuses.pop(), len(body), body))
        link.recv(1 << 16)  # what was not read yet would make the end a reset

    statuses = [503, 200]
    with opened(answering(nested)) as database:
        for words in ("not that of a database", "503"):
            with pytest.raises(DatabaseUnavailable, match=words):
                database.execute("SELECT 1")


def test_who_debugs_http_in_the_same_program_sees_none_of_ours(
    libsql_server: LibsqlServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with opened(libsql_server.url) as database:
        database.execute("SELECT ?", ("a secret",))
    assert capsys.readouterr() == ("", "")


def test_an_address_that_swallows_everything_leaves_time_for_the_next() -> None:
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.socket())
        silent.bind(("127.0.0.9", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        for _ in range(4):  # its queue is full then, and what comes after is not answered
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.9", port))
        stack.enter_context(socket.create_server(("127.0.0.1", port)))
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.9", "127.0.0.1")]
        found = sockets.connect(addresses, time.monotonic() + 1)
        stack.enter_context(found.link)
        assert found.address == ("127.0.0.1", port)
        assert found.refusing == (("127.0.0.9", port),)
