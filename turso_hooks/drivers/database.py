"""The blocking face of a database, which shipping, the schema and reading are written against.

`EmbeddedDatabase` has it for files, `ServerDatabase` for SQL over HTTP, `ClientDatabase` for any client of libsql-client's
kind. They mean the same; one suite of tests holds all of them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from typing_extensions import Self


class Bulk(NamedTuple):
    """A statement that takes many rows at once.

    Over a network it takes them as one argument: JSON, an array of arrays. There a statement a row costs 20 to 35 times as much
    (1,000 rows: libsql-server 0.24 700 ms to 20, Turso's server 0.6 500 ms to 50). Numbers in JSON do not arrive exactly
    everywhere (libsql-server's json_extract makes 0.399506 the next float but one time in thousands), so a float stands there
    as three integers whose quotients are exactly it.

    No two rows of one statement may write the same row of the table: SQLite 3.40 and libsql-server 0.24 damage the file where
    one statement updates a row that it inserted itself and that is too long for a page.
    """

    sql: str
    reals: frozenset[int] = frozenset()
    """Positions of a row that may hold a float, as `[n, d, e]`, which is n / d / e; everywhere else there is none."""
    of_values: Callable[[int], str] | None = None
    """The SQL for so many rows whose values are bound one after the other, for the engine in this process. There a statement
    a row costs twice as much where triggers write too: SQLite keeps the pages a statement changes, to be able to undo it."""


class Statement(NamedTuple):
    """SQL, and the arguments of each of its runs."""

    sql: str
    rows: Sequence[Sequence[Any]] = ((),)
    bulk: Bulk | None = None
    """The same for many rows at once."""


class Rows(NamedTuple):
    """A result: its columns' names and its rows; `changes` and `last_row_id` are those of the statement."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    changes: int
    last_row_id: int | None


class Database(Protocol):
    """One database. Calls from several threads wait for each other; every method raises `DatabaseError`."""

    name: str
    """The database as it may be shown: without any secret."""

    def __enter__(self) -> Self:
        """Nothing is opened before it is used."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""

    def execute(self, sql: str, arguments: Sequence[Any] | dict[str, Any] = (), *, operation: str = "read") -> Rows:
        """Run one statement by itself and return its rows. Errors name `operation`."""

    def look(self, sql: str, *, operation: str = "read") -> Rows:
        """Run a query on what may be another program's database, changing nothing about it."""

    def transaction(self, statements: Sequence[Statement], *, operation: str = "write") -> None:
        """Run statements in one transaction: all of them take effect, or none."""

    def close(self) -> None:
        """Let go of what is open; the next call opens it again."""
