"""A database server over HTTP, behind the blocking face of a database: one request an operation, for a thread of its own.

A transaction is one request with conditions (`hrana.transaction`), so there is none that is left open when a connection breaks.
Whether one whose answer was lost took effect, nobody knows: callers make theirs so that a second time does no harm.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from turso_hooks import forking
from turso_hooks.drivers import hrana
from turso_hooks.drivers.access import Access
from turso_hooks.drivers.bulk import few_statements
from turso_hooks.drivers.database import Rows, Statement
from turso_hooks.drivers.faults import Operation, failed_request, messages_understood, refused_request
from turso_hooks.drivers.urls import DatabaseTarget

if TYPE_CHECKING:
    from typing_extensions import Self

    from turso_hooks.drivers.http import Answer, Connection

_T = TypeVar("_T")


class ServerDatabase:
    """SQL over HTTP (`libsql:`, `turso:`, `https:`, `http:`). Connects at first use, and again when it has to.

    Any thread may call it; calls wait for each other. `timeout_s` is for a whole request, from connecting to the last byte of
    the answer. Raises `DatabaseError`.
    """

    def __init__(self, target: DatabaseTarget, access: Access, *, timeout_s: float) -> None:
        self.name = target.name
        self._access = access
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._is_closing_streams = True
        _databases.add(self)

    def __enter__(self) -> Self:
        """Nothing is opened before it is used."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    def execute(self, sql: str, arguments: Sequence[Any] | dict[str, Any] = (), *, operation: str = "read") -> Rows:
        """Run one statement by itself and return its rows. Raises a `DatabaseError` that names `operation`."""
        return self._ask(operation, lambda: hrana.execute(sql, arguments), hrana.rows_of)

    def look(self, sql: str, *, operation: str = "read") -> Rows:
        """Run a query. Raises a `DatabaseError`."""
        return self.execute(sql, operation=operation)

    def transaction(self, statements: Sequence[Statement], *, operation: str = "write") -> None:
        """Run statements in one transaction: all of them take effect, or none. Raises a `DatabaseError`."""
        self._ask(operation, lambda: hrana.transaction(few_statements(statements)), hrana.batch_rows_of)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            self._hang_up()

    def _ask(self, name: str, request: Callable[[], hrana.Step], read: Callable[[dict[str, Any]], _T]) -> _T:
        operation = self._access.operation(name, self.name)
        self._access.check(operation)
        with messages_understood(operation), self._lock:
            return read(self._results(operation, request())[0])

    def _results(self, operation: Operation, request: hrana.Step) -> list[dict[str, Any]]:
        """The results of a request that is a stream of its own."""
        while True:
            requests = [request, hrana.close()] if self._is_closing_streams else [request]
            answer = self._post(operation, hrana.request_body(requests))
            if answer.status == HTTPStatus.OK:
                return self._read(answer, len(requests))
            if not (self._is_closing_streams and hrana.knows_no_close(answer.body)):
                raise refused_request(operation, *answer)
            self._is_closing_streams = False

    def _read(self, answer: Answer, requests: int) -> list[dict[str, Any]]:
        try:
            return hrana.read_answer(answer.body).results_of(requests)
        except hrana.AnswerUnreadable:
            self._hang_up()  # whose answer it was, and what comes next on this connection, nobody knows
            raise

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _post(self, operation: Operation, body: bytes) -> Answer:
        with forking.importing():
            from turso_hooks.drivers.http import FAILURES, Connection  # noqa: PLC0415  # 20 ms that the agent's thread is spared

        if self._connection is None:
            self._connection = Connection(self._access.server, self._access.headers(), self._timeout_s)
        try:
            answer = self._connection.post(hrana.PATH, body)
        except FAILURES as error:
            raise failed_request(operation, error, self._timeout_s) from None  # it may quote what the server said
        return answer._replace(body=operation.without_secret(answer.body))

    def _begin_anew(self) -> None:
        """In a forked child: a thread that is not there may hold the lock. The connection sees for itself whose it is."""
        self._lock = threading.Lock()


_databases: weakref.WeakSet[ServerDatabase] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for database in list(_databases):
        database._begin_anew()  # noqa: SLF001  # the module's own


forking.in_child(_after_fork_in_child)
