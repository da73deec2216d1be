"""SQLite files through the standard library: one held connection, blocking, for a thread of its own.

WAL, so that readers and a writer do not stop each other; synchronous NORMAL, so that a commit needs no fsync (a power cut may
take the last transactions, never the file's consistency); write transactions begin IMMEDIATE, because one that begins as a
reader and then writes fails at once if another wrote in between (measured with 8 processes: 160-200 "database is locked"
with plain BEGIN, none with IMMEDIATE).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from turso_hooks import forking
from turso_hooks.drivers.bulk import runs_of
from turso_hooks.drivers.database import Rows, Statement
from turso_hooks.drivers.filesystems import network_filesystem
from turso_hooks.drivers.meanings import meaning_of
from turso_hooks.errors import DatabaseError, DatabaseLocked, DatabaseUnavailable, DatabaseUnusable, RowRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

_TRY_S = 0.05
"""How long SQLite itself waits for another program's lock, and with it a fork of ours, before the next try."""

_POLL_S = 0.001
"""Between two tries: our own lock is free for so long."""

_ROWS_AT_ONCE = 32
"""So many rows in one statement: more gains nothing, and before SQLite 3.32 a statement has 999 values at most."""

_T = TypeVar("_T")


def _without_other_files(action: int, *_: object) -> int:
    """For reading only: ATTACH, and with it VACUUM INTO, could write to another file, whatever this one was opened for."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


class EmbeddedDatabase:
    """One connection to an SQLite file. Opened at first use, and again if the file was replaced in the meantime.

    Any thread may call it; calls wait for each other. A fork waits for the call that is under way, and
    the child opens a connection of its own.
    """

    def __init__(self, path: Path, *, read_only: bool = False, busy_timeout_s: float = 5.0) -> None:
        self.name = f"file:{path}"
        self._path = path
        self._read_only = read_only
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, ...] | None = None
        self._is_immutable = False
        self._is_in_wal = False
        _databases.add(self)

    def __enter__(self) -> Self:
        """Nothing is opened before it is used."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    def execute(self, sql: str, arguments: Sequence[Any] | dict[str, Any] = (), *, operation: str = "read") -> Rows:
        """Run one statement by itself and return its rows. Raises a `DatabaseError` that names `operation`."""
        return self._patiently(operation, lambda connection: _execute(self._in_wal(connection), sql, arguments))

    def look(self, sql: str, *, operation: str = "read") -> Rows:
        """Run a query on what may be another program's database: as `execute`, but its journal mode stays what it is."""
        return self._patiently(operation, lambda connection: _execute(connection, sql, ()))

    def transaction(self, statements: Sequence[Statement], *, operation: str = "write") -> None:
        """Run statements in one transaction: all of them take effect, or none. Raises a `DatabaseError`."""
        self._patiently(operation, lambda connection: self._write(connection, statements, operation))

    def _write(self, connection: sqlite3.Connection, statements: Sequence[Statement], operation: str) -> None:
        self._in_wal(connection)
        if self._identity is None:  # it was not there before
            self._identity = self._look_at_file()
        _transaction(connection, statements)
        if self._identity != self._look_at_file():  # it took effect in a file that is not the database any more
            raise DatabaseUnavailable(operation, self.name, "the file was replaced while it was written to", "try again")

    def _patiently(self, operation: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do something on the connection; while another program holds the database, try again until the timeout.

        Our own lock is let go of between the tries: a fork waits for it.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                with self._lock, self._errors(operation):
                    return work(self._open())
            except DatabaseLocked:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_POLL_S)  # SQLite gives no event to wait for

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _acquire(self) -> None:
        self._lock.acquire()

    def _release(self) -> None:
        self._lock.release()

    def _abandon(self) -> None:
        """In a forked child: never touch the parent's connection, not even to close it, and open an own one when needed."""
        if self._connection is not None:
            _abandoned.append(self._connection)
        self._lock = threading.RLock()
        self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity == self._look_at_file():
            return self._connection
        self.close()
        self._is_immutable = self._read_only and self._is_archived()
        connection = self._connect()
        try:
            connection.execute(f"PRAGMA busy_timeout = {round(min(self._busy_timeout_s, _TRY_S) * 1000)}")
            if self._read_only:
                connection.execute("PRAGMA query_only = 1")
                connection.set_authorizer(_without_other_files)
            else:
                connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, self._look_at_file()
        self._is_in_wal = self._read_only  # a reader takes the mode as it is
        return connection

    def _connect(self) -> sqlite3.Connection:
        filesystem = network_filesystem(self._path.parent)
        if filesystem is not None:
            raise DatabaseUnusable(
                "open the database",
                self.name,
                f"it lies on a network file system ({filesystem}), where SQLite's WAL loses data",
                "put the file on a local disk",
            )
        if self._path.is_dir():  # SQLite would say "disk I/O error"
            raise DatabaseUnusable("open the database", self.name, "it is a folder", "name a file")
        mode = "rwc" if not self._read_only else "ro&immutable=1" if self._is_immutable else "ro"
        uri = f"file:{quote(str(self._path), errors='surrogateescape')}?mode={mode}"
        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_TRY_S, cached_statements=128
        )

    def _look_at_file(self) -> tuple[int, ...] | None:
        """What tells the file that is open from another; of one that SQLite takes for immutable, also from what it becomes."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        became = (found.st_mtime_ns, found.st_size, self._is_archived()) if self._is_immutable else ()
        return (found.st_dev, found.st_ino, *became)

    def _is_archived(self) -> bool:
        """Whether nobody here can write to the file, or is writing: SQLite reads such a one only if it is told so."""
        return not os.access(self._path.parent, os.W_OK) and not self._path.with_name(f"{self._path.name}-wal").exists()

    def _in_wal(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        if not self._is_in_wal:
            try:
                self._use_wal(connection)
            except BaseException:
                self.close()
                raise
            self._is_in_wal = True
        return connection

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise DatabaseUnusable("open the database", self.name, f"it cannot use WAL, only {mode}", "use a local disk")

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeEncodeError) as error:
            raise self._mapped(operation, error) from error

    def _mapped(self, operation: str, error: Exception) -> DatabaseError:
        problem, code = str(error), getattr(error, "sqlite_errorname", "")  # the code is there from Python 3.11 on
        meaning = meaning_of(problem)
        unknown = (DatabaseUnusable if isinstance(error, sqlite3.OperationalError) else RowRefused, "")
        kind, remedy = meaning or unknown
        return kind(operation, self.name, problem, remedy.replace("{folder}", str(self._path.parent)), code=code)


def _execute(connection: sqlite3.Connection, sql: str, arguments: Sequence[Any] | dict[str, Any]) -> Rows:
    try:
        return _fetch(connection, sql, arguments)
    except sqlite3.OperationalError as error:
        if "decode to UTF-8" not in str(error) or not sql.lstrip()[:6].upper() == "SELECT":
            raise
    connection.text_factory = _decoded  # from here on: it takes longer
    return _fetch(connection, sql, arguments)


def _decoded(text: bytes) -> str:
    """Text that is none, which other programs may have written, or was made of bytes."""
    return text.decode("utf-8", errors="replace")


def _fetch(connection: sqlite3.Connection, sql: str, arguments: Sequence[Any] | dict[str, Any]) -> Rows:
    cursor = connection.execute(sql, arguments)
    try:
        columns = tuple(entry[0] for entry in cursor.description or ())
        return Rows(columns, cursor.fetchall(), max(cursor.rowcount, 0), cursor.lastrowid)
    finally:
        cursor.close()


def _run(connection: sqlite3.Connection, statement: Statement) -> None:
    rows, of_values = statement.rows, None if statement.bulk is None else statement.bulk.of_values
    if len(rows) == 1:
        connection.execute(statement.sql, rows[0])
    elif of_values is None:
        connection.executemany(statement.sql, rows)
    else:
        for begin, end in runs_of(len(rows), _ROWS_AT_ONCE):
            sql = of_values(end - begin) if end - begin > 1 else statement.sql
            connection.execute(sql, [value for row in rows[begin:end] for value in row])


def _transaction(connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            _run(connection, statement)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


_databases: weakref.WeakSet[EmbeddedDatabase] = weakref.WeakSet()
_held_for_fork: list[EmbeddedDatabase] = []
_abandoned: list[sqlite3.Connection] = []
"""Connections inherited through a fork: SQLite forbids using one, so nothing may drop the last reference while others live."""


def _before_fork() -> None:
    """Wait until nobody is inside SQLite: its mutexes, if copied while held, would stay so in the child for ever."""
    while True:
        try:
            _held_for_fork[:] = _databases
        except RuntimeError:  # another thread has just made one
            continue
        break
    for database in _held_for_fork:
        database._acquire()  # noqa: SLF001  # the module's own


def _after_fork_in_parent() -> None:
    for database in _held_for_fork:
        database._release()  # noqa: SLF001  # the module's own
    _held_for_fork.clear()


def _after_fork_in_child() -> None:
    for database in {*_held_for_fork, *_databases}:  # some programs fork in ways of their own, and nothing was held
        database._abandon()  # noqa: SLF001  # the module's own
    _held_for_fork.clear()


forking.hold(forking.DATABASES, _before_fork, _after_fork_in_parent, _after_fork_in_child)
