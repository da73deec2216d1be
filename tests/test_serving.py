"""The servers that other tests are made with do what they say, and fail as they say."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.proxy import Proxy
from serving.servers import Certificates, LibsqlServer, Nginx, Refused, TursoServer, ask, exchange

SELECT = {"requests": [{"type": "execute", "stmt": {"sql": "select 1"}}]}


def insert(port: int, number: int) -> None:
    ask(port, "insert into t values (?)", number, close=False)


def test_a_turso_server_gives_back_what_it_was_given(turso_server: TursoServer) -> None:
    values = (1, 2**53 + 1, 1.5, "ä\n", b"\x00\xff", b"", None)
    assert turso_server.ask("select ?, ?, ?, ?, ?, ?, ?", *values) == [values]
    with pytest.raises(Refused, match="syntax"):
        turso_server.ask("selec 1")


def test_a_libsql_server_gives_back_what_it_was_given(libsql_server: LibsqlServer) -> None:
    values = (1, 2**53 + 1, 1.5, "ä\n", b"\x00\xff", b"", None)
    assert libsql_server.ask("select ?, ?, ?, ?, ?, ?, ?", *values) == [values]
    with pytest.raises(Refused, match="syntax"):
        libsql_server.ask("selec 1")


def test_a_killed_turso_server_refuses_and_has_its_data_when_it_is_back(turso_server: TursoServer) -> None:
    turso_server.ask("create table t (a)")
    turso_server.ask("insert into t values (1)")
    turso_server.kill()
    with pytest.raises(ConnectionRefusedError):
        turso_server.ask("select 1")
    turso_server.start()
    assert turso_server.ask("select a from t") == [(1,)]


def test_a_killed_libsql_server_has_its_data_when_it_is_back(libsql_server: LibsqlServer) -> None:
    libsql_server.ask("create table t (a)")
    libsql_server.ask("insert into t values (1)")
    libsql_server.restart()
    assert libsql_server.ask("select a from t") == [(1,)]
    libsql_server.stop()
    libsql_server.start()
    assert libsql_server.ask("select a from t") == [(1,)]


def test_blocked_writes_are_refused_and_reads_are_not(libsql_server: LibsqlServer) -> None:
    libsql_server.ask("create table t (a)")
    libsql_server.block_writes("the quota is used up")
    with pytest.raises(Refused, match="the quota is used up") as refused:
        libsql_server.ask("insert into t values (1)")
    assert refused.value.code == "BLOCKED"
    assert libsql_server.ask("select a from t") == []
    libsql_server.unblock()
    libsql_server.ask("insert into t values (1)")


def test_a_guarded_libsql_server_takes_its_own_tokens_only(guarded_libsql_server: LibsqlServer) -> None:
    server = guarded_libsql_server
    server.ask("create table t (a)")
    assert ask(server.port, "select a from t", token=server.token("ro")) == []
    with pytest.raises(Refused) as read_only:
        ask(server.port, "insert into t values (1)", token=server.token("ro"))
    assert read_only.value.code == "403"
    for token in (None, "no.real.token", server.token(expires_in_s=-3600)):
        with pytest.raises(Refused) as refused:
            ask(server.port, "select 1", token=token)
        assert refused.value.code == "401"


@pytest.mark.slow
def test_a_libsql_server_that_checkpoints_by_the_clock_goes_on_while_many_write_without_a_pause(
    libsql_server: LibsqlServer,
) -> None:
    libsql_server.ask("create table t (a integer primary key, b)")
    rows = json.dumps(["x" * 500] * 200)

    def write(times: int) -> int:
        """Write so often; the number of times somebody else had the lock for too long."""
        locked = 0
        for _ in range(times):
            try:
                libsql_server.ask("insert into t (b) select value from json_each(?)", rows)
            except Refused as refused:
                if "locked" not in str(refused):
                    raise
                locked += 1
        return locked

    writers, times = 6, 150
    with ThreadPoolExecutor(writers) as pool:
        locked = sum(pool.map(write, [times] * writers))
    assert locked < writers * times / 2
    assert libsql_server.ask("select count(*) from t") == [((writers * times - locked) * 200,)]


def test_a_delay_is_added_once_each_way(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    large = "x" * 1_000_000  # in many pieces, which are not to be held up one after the other
    ask(network.port, "select ?", large)
    begin = time.monotonic()
    ask(network.port, "select ?", large)
    without = time.monotonic() - begin
    network.delay_s = 0.15
    begin = time.monotonic()
    assert ask(network.port, "select ?", large) == [(large,)]
    assert 0.3 <= time.monotonic() - begin < 0.3 + without + 0.25


def test_a_cut_comes_after_the_commit(turso_server: TursoServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(turso_server.port)
    turso_server.ask("create table t (a)")
    network.cut_every = 2
    for number in range(1, 7):
        if number % 2:
            insert(network.port, number)
        else:
            with pytest.raises(ConnectionResetError):
                insert(network.port, number)
    assert turso_server.ask("select a from t") == [(number,) for number in range(1, 7)]
    assert (network.connections, network.requests, network.answers, network.cuts) == (6, 6, 6, 3)


def test_requests_are_counted_and_cut_within_a_connection_that_stays(
    libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]
) -> None:
    network = proxy(libsql_server.port)
    network.cut_every = 3
    connection = http.client.HTTPConnection("127.0.0.1", network.port, timeout=10)
    try:
        body = json.dumps({"requests": [{"type": "execute", "stmt": {"sql": "select 'POST /v2 HTTP/1.1\r\n\r\nPOST '"}}]})
        for _ in range(2):
            connection.request("POST", "/v2/pipeline", body)
            assert connection.getresponse().read()
        connection.request("POST", "/v2/pipeline", body)
        with pytest.raises(ConnectionResetError):
            connection.getresponse()
    finally:
        connection.close()
    assert (network.connections, network.requests, network.cuts) == (1, 3, 1)


@pytest.mark.parametrize("kept", [0, 10, 100, 400])
def test_an_answer_is_truncated_to_the_byte(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy], kept: int) -> None:
    network = proxy(libsql_server.port)
    network.truncate_after = kept
    with socket.create_connection(("127.0.0.1", network.port), timeout=10) as connection:
        body = json.dumps(SELECT).encode()
        connection.sendall(b"POST /v2/pipeline HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        got = b""
        while data := connection.recv(65536):
            got += data
    assert len(got) == kept


def test_a_black_hole_accepts_and_is_silent(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    network.black_hole = True
    with socket.create_connection(("127.0.0.1", network.port), timeout=0.2) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        network.black_hole = False
        assert ask(network.port, "select 1") == [(1,)]
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_a_proxy_that_refuses_can_listen_again(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    for _ in range(3):
        network.refuse()
        with pytest.raises(ConnectionRefusedError):
            ask(network.port, "select 1")
        network.listen()
        assert ask(network.port, "select 1") == [(1,)]


def test_held_answers_wait_while_requests_go_through(turso_server: TursoServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(turso_server.port)
    turso_server.ask("create table t (a)")
    network.hold_answers.clear()
    client = threading.Thread(target=insert, args=(network.port, 1))
    client.start()
    network.wait_until(lambda: network.answers == 1)
    assert client.is_alive()
    network.hold_answers.set()
    client.join(10)
    assert not client.is_alive()
    assert turso_server.ask("select a from t") == [(1,)]


def test_a_connection_that_waits_can_be_cut_from_outside(libsql_server: LibsqlServer, proxy: Callable[[int], Proxy]) -> None:
    network = proxy(libsql_server.port)
    with socket.create_connection(("127.0.0.1", network.port), timeout=10) as connection:
        connection.sendall(b"POST ")
        network.wait_until(lambda: network.connections == 1)
        network.cut_all()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def secure_exchange(server: Nginx, body: object, context: ssl.SSLContext, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPSConnection("localhost", server.tls_port, timeout=10, context=context)
    try:
        connection.request("POST", "/v2/pipeline", json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def test_tls_is_trusted_with_the_tests_authority_only(
    libsql_server: LibsqlServer, nginx: Callable[[str], Nginx], certificates: Certificates
) -> None:
    server = nginx(libsql_server.url)
    trusting = ssl.create_default_context(cafile=str(server.ca_file))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    assert secure_exchange(server, SELECT, trusting, Authorization="Bearer abc").status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        secure_exchange(server, SELECT, ssl.create_default_context())
    (seen,) = server.requests()
    assert (seen.status, seen.method, seen.path) == (200, "POST", "/v2/pipeline")
    assert (seen.authorization, seen.secure) == ("Bearer abc", True)


def test_nginx_gives_whatever_answer_is_wanted(libsql_server: LibsqlServer, nginx: Callable[[str], Nginx]) -> None:
    server = nginx(libsql_server.url)
    trusting = ssl.create_default_context(cafile=str(server.ca_file))
    assert ask(server.port, "select 1") == [(1,)]
    for status in (502, 503, 404, 403):
        server.configure(answer=status)
        assert exchange(server.port, "POST", "/v2/pipeline", SELECT)[0] == status
    for retry_after in (7, "Wed, 21 Oct 2026 07:28:00 GMT"):
        server.configure(answer=429, retry_after=retry_after)
        answer = secure_exchange(server, SELECT, trusting)
        assert (answer.status, answer.headers["Retry-After"]) == (429, str(retry_after))
    page = '<p class="a">costs $5 \\ {not} json;\n'
    server.configure(answer=200, body=page)
    assert exchange(server.port, "POST", "/v2/pipeline", SELECT) == (200, page.encode())
    server.configure(answer=301, redirect_to="http://127.0.0.1:9/v2/pipeline")
    answer = secure_exchange(server, SELECT, trusting)
    assert (answer.status, answer.headers["Location"]) == (301, "http://127.0.0.1:9/v2/pipeline")
    server.configure()
    assert ask(server.port, "select 1") == [(1,)]


def test_nginx_wants_the_token_and_shows_what_was_sent(libsql_server: LibsqlServer, nginx: Callable[[str], Nginx]) -> None:
    server = nginx(libsql_server.url)
    server.configure(token="secret")
    for token in (None, "other", "secret"):
        exchange(server.port, "POST", "/v2/pipeline", SELECT, token)
    sent = [(seen.status, seen.authorization, seen.secure) for seen in server.requests()]
    assert sent == [(401, None, False), (401, "Bearer other", False), (200, "Bearer secret", False)]


def test_nginx_refuses_a_large_body(libsql_server: LibsqlServer, nginx: Callable[[str], Nginx]) -> None:
    server = nginx(libsql_server.url)
    server.configure(max_body="10k")
    assert ask(server.port, "select ?", "x" * 5_000)
    with pytest.raises(Refused) as refused:
        ask(server.port, "select ?", "x" * 20_000)
    assert refused.value.code == "413"


def test_nginx_answers_502_while_the_server_behind_is_gone(libsql_server: LibsqlServer, nginx: Callable[[str], Nginx]) -> None:
    server = nginx(libsql_server.url)
    libsql_server.kill()
    assert exchange(server.port, "POST", "/v2/pipeline", SELECT)[0] == 502
    libsql_server.start()
    assert ask(server.port, "select 1") == [(1,)]


def test_nginx_writes_nothing_outside_its_folder(
    libsql_server: LibsqlServer, nginx: Callable[[str], Nginx], tmp_path: Path
) -> None:
    server = nginx(libsql_server.url)
    ask(server.port, "select ?", "x" * 1_000_000)  # more than it keeps in memory
    assert {path.name for path in server.folder.iterdir()} >= {"nginx.pid", "body", "proxy", "fastcgi", "uwsgi", "scgi"}
    assert server.folder.parent == tmp_path
