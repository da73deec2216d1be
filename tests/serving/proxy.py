"""A network between a client and a server that does what a test tells it to: slow, cut, silent, gone."""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable

from serving.servers import free_port

CHUNK = 1 << 16
CLOSE_WITHIN_S = 5.0


class Proxy:
    """Passes TCP connections on to a port of 127.0.0.1; every attribute below may be changed while it runs.

    delay_s          each way takes so much longer; what follows is not held up further.
    black_hole       connections are accepted, and nothing that comes is passed on, either way.
    cut_every        of the requests from now on, every n-th: the server gets all of it and answers, but the connection is
                     reset before a byte of the answer has gone back. 0 for none.
    truncate_after   so many bytes of every answer go back, then the connection is closed. None for all.
    reset_over       a request with a longer body never gets through: its connection is reset in the middle. None for none.
    hold_answers     an event: while it is clear, requests go through and answers wait.
    upstream_port    where new connections are passed on to.

    `connections`, `requests`, `answers` and `cuts` count; `wait_until` waits for them. A request is a POST over HTTP:
    inside TLS or a WebSocket there are none, and nothing is cut by number there.
    """

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.delay_s = 0.0
        self.black_hole = False
        self.truncate_after: int | None = None
        self.reset_over: int | None = None
        self.hold_answers = threading.Event()
        self.hold_answers.set()
        self.connections = 0  # accepted
        self.requests = 0  # whose head went up
        self.answers = 0  # whose first bytes came from the server
        self.cuts = 0
        self._cut_every = 0
        self._cut_counts_from = 0
        self._changed = threading.Condition()
        self._open: set[_Connection] = set()
        self._listening: tuple[threading.Thread, socket.socket] | None = None
        self.listen()

    @property
    def cut_every(self) -> int:
        return self._cut_every

    @cut_every.setter
    def cut_every(self, every: int) -> None:
        self._cut_every, self._cut_counts_from = every, self.requests

    def cuts_request(self, number: int) -> bool:
        return bool(self._cut_every) and (number - self._cut_counts_from) % self._cut_every == 0

    def listen(self) -> None:
        """Accept connections, again after `refuse`; the port stays the same."""
        assert self._listening is None, "it listens"
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        waking, woken = socket.socketpair()
        thread = threading.Thread(target=self._accept, args=(listener, woken), daemon=True)
        thread.start()
        self._listening = (thread, waking)

    def refuse(self) -> None:
        """Listen no longer: new connections are refused, those there are stay."""
        if self._listening is not None:
            thread, waking = self._listening
            self._listening = None
            waking.close()
            thread.join()

    def cut_all(self) -> None:
        """Reset every connection there is."""
        for connection in self._copy_of_open():
            connection.end(reset=True)
            connection.thread.join(CLOSE_WITHIN_S)

    def close(self) -> None:
        self.refuse()
        for connection in self._copy_of_open():
            connection.end()
            connection.thread.join(CLOSE_WITHIN_S)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait for the counts to be as wanted: `proxy.wait_until(lambda: proxy.answers == 3)`."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), f"{self.connections=} {self.requests=} {self.answers=}"

    def count(self, *, connections: int = 0, requests: int = 0, answers: int = 0, cuts: int = 0) -> int:
        """Add to the counts; returns how many requests there are now, which is the number of the one just counted."""
        with self._changed:
            self.connections += connections
            self.requests += requests
            self.answers += answers
            self.cuts += cuts
            self._changed.notify_all()
            return self.requests

    def forget(self, connection: _Connection) -> None:
        with self._changed:
            self._open.discard(connection)

    def _copy_of_open(self) -> list[_Connection]:
        with self._changed:
            return list(self._open)

    def _accept(self, listener: socket.socket, woken: socket.socket) -> None:
        # The listener is closed here and nowhere else: closing what another thread waits for does not end the waiting.
        with listener, woken, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while all(key.fileobj is not woken for key, _ in selector.select()):
                try:
                    client, _ = listener.accept()
                except OSError:  # gone again
                    continue
                connection = _Connection(self, client)
                with self._changed:
                    self._open.add(connection)
                    connection.thread.start()  # here: who sees the connection may end it, and waits for its thread
                self.count(connections=1)


class _Requests:
    """Finds the HTTP requests in what a client sends."""

    def __init__(self) -> None:
        self.opaque = False  # TLS or a WebSocket
        self._rest = b""
        self._body_left = 0
        self._chunked = False
        self.body_bytes = 0  # of the request that began last, as far as its head says so

    @property
    def whole(self) -> bool:
        """Whether what was sent so far ends where a request ends."""
        return not self._rest and not self._body_left and not self._chunked

    def feed(self, data: bytes) -> int:
        """How many POST requests begin here; a request has begun when its whole head was sent."""
        self._rest += data
        begun = 0
        while self._rest and not self.opaque:
            if self._body_left:
                taken = min(self._body_left, len(self._rest))
                self._rest = self._rest[taken:]
                self._body_left -= taken
                continue
            head, found, after = self._rest.partition(b"\r\n0\r\n\r\n" if self._chunked else b"\r\n\r\n")
            if not found:
                self.opaque = not self._rest[:1].isalnum()
                break
            self._rest = after
            if self._chunked:
                self._chunked = False
                continue
            begun += head.startswith(b"POST ")
            self._begin(head)
        if self.opaque:
            self._rest = b""
        return begun

    def _begin(self, head: bytes) -> None:
        fields = (line.lower().partition(b":") for line in head.split(b"\r\n")[1:])
        headers = {name.strip(): value.strip() for name, _, value in fields}
        self.opaque = headers.get(b"upgrade") == b"websocket"
        self._chunked = headers.get(b"transfer-encoding") == b"chunked"
        self._body_left = self.body_bytes = int(headers.get(b"content-length", b"0"))


# When it is due, the bytes (none: the end), and the number of the request they answer (0: none that is known, or one that
# the server has not all of yet).
_Piece = tuple[float, bytes, int]


class _Connection:
    """One connection on both sides: for each direction a thread that receives and one that sends when it is time."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.client = client
        self.server: socket.socket | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._over = threading.Event()
        self._reset = False
        self._lost = False  # bytes of it fell into the black hole: it will never speak again
        self._requests = _Requests()
        self._number = 0  # of the request that went up last
        self._answered = 0  # the last one whose answer began to come

    def end(self, *, reset: bool = False) -> None:
        self._reset = self._reset or reset
        self._over.set()

    def _run(self) -> None:
        try:
            threads = self._start()
            self._over.wait()
            # Wakes the threads that receive. Nothing goes to the client yet: it might be the end where a reset is wanted.
            self._shut(self.client, socket.SHUT_RD if self._reset else socket.SHUT_RDWR)
            self._shut(self.server, socket.SHUT_RDWR)
            for thread in threads:
                thread.join(1)
            if any(thread.is_alive() for thread in threads):  # it sends to a client that does not read
                self._shut(self.client, socket.SHUT_RDWR)
        finally:
            if self._reset:
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.client.close()
            if self.server is not None:
                self.server.close()
            self.proxy.forget(self)

    def _start(self) -> list[threading.Thread]:
        up: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
        down: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
        targets: list[Callable[[], None]] = [lambda: self._receive(self.client, up)]
        self._lost = self.proxy.black_hole
        if not self._lost:
            try:
                self.server = server = socket.create_connection(("127.0.0.1", self.proxy.upstream_port))
            except OSError:  # as if nobody listened here either
                self.end(reset=True)
                return []
            for side in (self.client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ended = threading.Semaphore(0)
            targets += [
                lambda: self._receive(server, down),
                lambda: self._send_up(server, up, ended),
                lambda: self._send_down(down, ended),
            ]
        threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in threads:
            thread.start()
        return threads

    def _receive(self, side: socket.socket, pieces: queue.SimpleQueue[_Piece]) -> None:
        while True:
            try:
                data = side.recv(CHUNK)
            except OSError:
                data = b""
            self._lost = self._lost or self.proxy.black_hole
            number = 0
            if side is self.server and self._requests.whole:
                number = self._number
                if data and number > self._answered:
                    self._answered = number
                    self.proxy.count(answers=1)
            if not self._lost:
                pieces.put((time.monotonic() + self.proxy.delay_s, data, number))
            elif not data and side is self.client:
                self.end()
            if not data:
                pieces.put((0, b"", 0))  # whoever waits for more has to be told, lost or not
                return

    def _wait(self, pieces: queue.SimpleQueue[_Piece]) -> tuple[bytes, int]:
        """The next bytes, when they are due; none at the end."""
        due, data, number = pieces.get()
        self._over.wait(max(0.0, due - time.monotonic()))
        return (b"", 0) if self._over.is_set() or self._lost else (data, number)

    def _send_up(self, server: socket.socket, pieces: queue.SimpleQueue[_Piece], ended: threading.Semaphore) -> None:
        while True:
            data, _ = self._wait(pieces)
            if not data:
                break
            # Before it is sent: the answer may be here before sending returns.
            for _ in range(self._requests.feed(data)):
                self._number = self.proxy.count(requests=1)
            if self.proxy.reset_over is not None and self._requests.body_bytes > self.proxy.reset_over:
                self.end(reset=True)
                break
            with contextlib.suppress(OSError):
                server.sendall(data)
        self._pass_end_on(server, ended)

    def _send_down(self, pieces: queue.SimpleQueue[_Piece], ended: threading.Semaphore) -> None:
        begun = sent = 0
        while True:
            data, number = self._wait(pieces)
            while not self.proxy.hold_answers.wait(0.02) and not self._over.is_set():
                pass  # asked again only to see whether the proxy was closed meanwhile
            if not data or self._over.is_set() or self._lost:
                break
            if number > begun:
                begun, sent = number, 0
                if self.proxy.cuts_request(number):
                    self.proxy.count(cuts=1)
                    self.end(reset=True)
                    break
            room = len(data) if self.proxy.truncate_after is None else max(0, self.proxy.truncate_after - sent)
            with contextlib.suppress(OSError):
                self.client.sendall(data[:room])
            sent += len(data)
            if room < len(data):
                self.end()
                break
        self._pass_end_on(self.client, ended)

    def _pass_end_on(self, side: socket.socket, ended: threading.Semaphore) -> None:
        if self._over.is_set() or self._lost:
            return
        self._shut(side, socket.SHUT_WR)
        # The second direction to end ends the connection.
        if ended.acquire(blocking=False):
            self.end()
        else:
            ended.release()

    @staticmethod
    def _shut(side: socket.socket | None, how: int) -> None:
        if side is not None:
            with contextlib.suppress(OSError):
                side.shutdown(how)
