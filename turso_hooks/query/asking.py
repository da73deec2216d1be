"""Asking a database: rows as mappings, and how far a question may look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from turso_hooks.drivers import Database, Rows
from turso_hooks.errors import ResponseTooLarge
from turso_hooks.query.filters import Condition
from turso_hooks.store import check_version, schema_version

Key = tuple["int | None", Any]
"""A place in an order: a number, mostly a time, and an id."""

TIMELESS: Key = (None, None)
"""The place before all rows of which no time is known."""
"""A place in an order."""

MOST_LOOKED_AT = 10_000
"""Rows that one page looks at, where no index says which of them are meant."""

Row = tuple[Any, ...]
Asked = tuple[str, Sequence[Any]]
"""SQL and its arguments."""

_PIECE_BYTES = 2**20
"""So much of one value at once, where a row is more than a server gives: libsql-server ends an answer at 10 MB."""

_FIRST_LOOK = 500
"""So many at first, and more each time: what is wanted often is near."""


class Asker:
    """Asks a database. Every method raises `DatabaseError` as it comes."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self.database = database
        self.now = now
        self._version: int | None = None

    def result(self, operation: str, sql: str, arguments: Sequence[Any] = ()) -> Rows:
        """The result of a query. A database with a newer schema is refused: what its columns mean is not known here."""
        if self._version is None:
            self._version = check_version(schema_version(self.database, operation), self.database.name)
        return self.database.execute(sql, tuple(arguments), operation=operation)

    def rows(self, operation: str, sql: str, arguments: Iterable[Any] = ()) -> list[dict[str, Any]]:
        """The rows of a query, by the names of their columns."""
        result = self.result(operation, sql, tuple(arguments))
        return [named(result, n) for n in range(len(result.rows))]

    def some(self, operation: str, ask: Callable[[int], Asked], limit: int) -> tuple[Rows, bool]:
        """The first rows of a question that is asked with a limit, and whether there may be more.

        They are fewer than that, where the server does not give so much at once.
        """
        try:
            found = self.result(operation, *ask(limit))
        except ResponseTooLarge:
            row = self._in_pieces(operation, *ask(1)) if limit == 1 else None
            return (row, True) if row is not None else self.some(operation, ask, max(1, limit // 4))
        return found, len(found.rows) == limit

    def all(self, operation: str, sql: str, arguments: Sequence[Any]) -> list[Row]:
        """All rows of a question that has an order, or whose rows are few: as many at once as the server gives."""
        rows: list[Row] = []
        while True:
            ask = partial(_part_of, sql, arguments, len(rows))
            found, has_more = self.some(operation, ask, MOST_LOOKED_AT)
            rows += found.rows
            if not has_more:
                return rows

    def _in_pieces(self, operation: str, sql: str, arguments: Sequence[Any]) -> Rows | None:
        """The one row of a query, if there is one still, its long texts piece by piece."""
        shape = self.result(operation, f"SELECT * FROM ({sql}) LIMIT 0", arguments)
        names = shape.columns
        lengths = [
            f'CASE WHEN typeof("{name}") = \'text\' AND length("{name}") > 0 THEN length(CAST("{name}" AS BLOB)) ELSE 0 END'
            for name in names
        ]
        values = [
            f'CASE WHEN {length} <= {_PIECE_BYTES} THEN "{name}" END' for name, length in zip(names, lengths, strict=True)
        ]
        while found := self.result(operation, f"SELECT {', '.join([*values, *lengths])} FROM ({sql})", arguments).rows:
            row, sizes = dict(zip(names, found[0], strict=False)), found[0][len(names) :]
            long = {name: size for name, size in zip(names, sizes, strict=True) if size > _PIECE_BYTES}
            texts = {name: self._text(operation, name, size, sql, arguments) for name, size in long.items()}
            if all(len(texts[name]) == size for name, size in long.items()):  # else it has changed meanwhile
                row |= {name: text.decode("utf-8", errors="replace") for name, text in texts.items()}
                return shape._replace(rows=[tuple(row.values())])
        return None

    def _text(self, operation: str, name: str, size: int, sql: str, arguments: Sequence[Any]) -> bytes:
        """A text of the one row of a query. By bytes: to SQLite's functions a letter NUL is the end of a text."""
        text = b""
        for at in range(1, size + 1, _PIECE_BYTES):
            piece = f'SELECT substr(CAST("{name}" AS BLOB), {at}, {_PIECE_BYTES}) FROM ({sql})'
            text += b"".join(value for (value,) in self.result(operation, piece, arguments).rows if value)
        return text

    def newest(self, operation: str, what: Newest, limit: int, before: Key | None) -> tuple[list[Row], Key | None]:
        """Rows before a key, and the key to go on from, if there may be more.

        Where nothing is to be checked, as many rows are looked at as are wanted, else at most `MOST_LOOKED_AT`.
        """
        rows: list[Row] = []
        if not what.checked.parts:
            for start in (before, TIMELESS) if what.continues_without_time(before) else (before,):
                found, has_more = self.some(operation, partial(what.rows, before=start), limit - len(rows))
                rows += found.rows
                if has_more:
                    return rows, what.key_of(found)
            return rows, None
        looked_at, at_once = 0, max(_FIRST_LOOK, limit)
        while looked_at < MOST_LOOKED_AT and len(rows) < limit:
            at_once = min(at_once, MOST_LOOKED_AT - looked_at)
            last = self.result(operation, *what.nth_key(at_once, before)).rows
            down_to: Key | None = (last[0][0], last[0][1]) if last else None
            here = partial(what.rows, before=before, down_to=down_to)
            found, is_cut = self.some(operation, here, limit - len(rows))
            rows += found.rows
            if is_cut:
                return rows, what.key_of(found)
            if down_to is None and what.continues_without_time(before):
                before = TIMELESS
                continue
            if down_to is None:
                return rows, None
            before, looked_at, at_once = down_to, looked_at + at_once, 4 * at_once
        return rows, before


def _part_of(sql: str, arguments: Sequence[Any], before: int, limit: int) -> Asked:
    return f"{sql} LIMIT {limit} OFFSET {before}", arguments


def named(found: Rows, n: int) -> dict[str, Any]:
    """A row by the names of its columns."""
    return dict(zip(found.columns, found.rows[n], strict=True))


@dataclass
class Newest:
    """Rows in falling order of two columns, the second of which differs in each: the SQL of the question."""

    table: str
    columns: str
    """Those of `order` must be among them."""
    order: tuple[str, str]
    found_by: Condition
    """What an index finds, in that order."""
    checked: Condition = field(default_factory=Condition)
    """What has to be looked at in each row."""

    def key_of(self, found: Rows) -> Key:
        """The place of the last of some rows in the order."""
        last = named(found, -1)
        return last[self.order[0]], last[self.order[1]]

    def continues_without_time(self, before: Key | None) -> bool:
        """Whether rows without a known time, which come last, are not among those before a key: to SQL they are not less."""
        return before is not None and before[0] is not None and self.order[0] != "rowid"

    def rows(self, limit: int, before: Key | None, down_to: Key | None = None) -> tuple[str, list[Any]]:
        """SQL and arguments for rows before one key and down to another."""
        where = self._between(before, down_to)
        where.add(self.checked.sql, *self.checked.arguments)
        return f"SELECT {self.columns} FROM {self.table} WHERE {where.sql} {self._ordered} LIMIT {limit}", where.arguments

    def nth_key(self, n: int, before: Key | None) -> tuple[str, list[Any]]:
        """SQL and arguments for the n-th key before one."""
        where, keys = self._between(before, None), ", ".join(self.order)
        return f"SELECT {keys} FROM {self.table} WHERE {where.sql} {self._ordered} LIMIT 1 OFFSET {n - 1}", where.arguments

    @property
    def _ordered(self) -> str:
        return "ORDER BY " + ", ".join(f"{column} DESC" for column in self.order)

    def _between(self, before: Key | None, down_to: Key | None) -> Condition:
        where = Condition([*self.found_by.parts], [*self.found_by.arguments])
        first, second = self.order
        for key, compared in ((before, "<"), (down_to, ">")):
            if key is None:
                continue
            if key[0] is None and compared == ">":
                where.add(f"({first} IS NOT NULL OR {second} >= ?)", key[1])
            elif key[0] is None:
                where.add(f"{first} IS NULL")
                if key[1] is not None:
                    where.add(f"{second} < ?", key[1])
            else:  # said twice over, as not every engine finds a place in an index by OR
                last = "<" if compared == "<" else ">="
                where.add(f"{first} {compared}= ?", key[0])
                where.add(f"({first} {compared} ? OR {second} {last} ?)", *key)
        return where
