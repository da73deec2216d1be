"""The full-text index, and bringing it up to date.

An FTS5 table without content of its own (https://www.sqlite.org/fts5.html#contentless_tables), whose rowids are **search
keys**: integers that sort as time does, so that the newest matches come first without sorting. Each searched row has its key in
its column `search_key`, with an index on it, which is the way from a match to its row.

A row without a key waits. So whoever writes needs to know nothing of all this: what is inserted waits, and triggers see to the
rest. Text that changes takes the key away, and puts the key and the old text, without which FTS5 cannot take it out again,
aside in `search_removed`; so does a row that is deleted. A match whose key nobody has is none.

`SearchIndex.add_some` takes out what was removed and gives keys to what waits, in transactions of its own. Row by row, in
the triggers themselves, it costs four times as much, for FTS5 writes what it has at every statement's savepoint, and a
writer without FTS5 could write nothing any more.

Where the engine has no FTS5 (Turso's own, 0.6) there is no index and none of its triggers.
"""

from __future__ import annotations

from collections.abc import Callable

from turso_hooks.drivers import Database, Statement
from turso_hooks.errors import DatabaseUnusable, RowRefused
from turso_hooks.store.pacing import Pace, do_all
from turso_hooks.store.search.keys import KIND, WITHOUT_TEXT, new_key, second_of
from turso_hooks.store.search.searched import SEARCHED, SearchedTable
from turso_hooks.store.search.words import SMALL, indexed

FORMAT = 1
"""Of what is in the index: what was put into it by one rule cannot be taken out by another."""

ADDED_AT_ONCE = 5000
"""The most rows of a table in one transaction: with fewer they cost more each, with more nothing is gained."""

_FIRST_AT_ONCE = 1000

_FORMAT_SQL = "SELECT format FROM search_format"

_TABLES = (
    "CREATE TABLE search_format (format INTEGER PRIMARY KEY)",  # fails where somebody has made an index meanwhile
    """CREATE VIRTUAL TABLE IF NOT EXISTS search_index USING fts5(
        text, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2')""",
    "CREATE TABLE IF NOT EXISTS search_added (key INTEGER PRIMARY KEY, row INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS search_removed (key INTEGER PRIMARY KEY, text TEXT)",
    "CREATE TABLE IF NOT EXISTS search_numbers (n INTEGER PRIMARY KEY)",
    f"INSERT OR IGNORE INTO search_numbers VALUES {', '.join(f'({n})' for n in range(1, SMALL + 1))}",
    f"INSERT INTO search_format VALUES ({FORMAT})",
)


def _triggers(searched: SearchedTable) -> tuple[str, ...]:
    table, old, new = searched.table, searched.text_of("OLD"), searched.text_of("NEW")
    # Where another program changes text and time at once, the trigger that keeps `occurred_ms` may have changed the row before,
    # and this one have seen that: what it knows now is what was in the index.
    removed = f"INSERT OR REPLACE INTO search_removed (key, text) VALUES (OLD.search_key, {old})"
    is_other = f"({new} IS NOT {old} OR {second_of('NEW')} <> {second_of('OLD')})"
    return (
        f"""CREATE INDEX IF NOT EXISTS idx_{table}_search ON {table}(search_key)
            WHERE {searched.condition.format(row=table).replace(f"{table}.", "")}""".replace("WHERE true", ""),
        f"""CREATE TRIGGER IF NOT EXISTS {table}_search_updated
            AFTER UPDATE OF {", ".join(searched.reads)}, occurred_ms ON {table} WHEN OLD.search_key IS NOT NULL AND {is_other}
            BEGIN {removed}; UPDATE {table} SET search_key = NULL WHERE rowid = NEW.rowid; END""",
        f"""CREATE TRIGGER IF NOT EXISTS {table}_search_deleted AFTER DELETE ON {table} WHEN OLD.search_key IS NOT NULL
            BEGIN {removed}; END""",
    )


def _adds(searched: SearchedTable) -> tuple[str, ...]:
    table = searched.table
    kind = f"CASE WHEN {searched.is_elsewhere.format(row=table)} THEN {searched.kind | WITHOUT_TEXT} ELSE {searched.kind} END"
    number = "row_number() OVER (PARTITION BY second ORDER BY row)"
    waiting = f"""SELECT rowid AS row, {second_of(table)} AS second, {kind} AS kind FROM {table}
        WHERE {searched.waits(table)} ORDER BY rowid LIMIT ?"""
    return (
        f"INSERT INTO search_added (key, row) SELECT {new_key(searched, 'second', number, 'kind')}, row FROM ({waiting})",
        f"""UPDATE {table} SET search_key = search_added.key FROM search_added
            WHERE {table}.rowid = search_added.row AND search_added.key & {KIND & ~WITHOUT_TEXT} = {searched.kind}""",
        f"""INSERT INTO search_index (rowid, text) SELECT search_added.key, {indexed(searched.text_of(table))}
            FROM search_added CROSS JOIN {table} ON {table}.rowid = search_added.row
            WHERE search_added.key & {KIND} = {searched.kind}""",
    )


_TAKE_OUT = (
    f"""INSERT INTO search_index (search_index, rowid, text) SELECT 'delete', key, {indexed("text")}
        FROM (SELECT key, text FROM search_removed ORDER BY key LIMIT ?) WHERE key & {WITHOUT_TEXT} = 0""",
    "DELETE FROM search_removed WHERE key IN (SELECT key FROM search_removed ORDER BY key LIMIT ?)",
)
_ADD_WAITING = (
    *_TAKE_OUT,
    *(sql for searched in SEARCHED for sql in _adds(searched)),
    "DELETE FROM search_added",
)

_IS_WAITING = " OR ".join(
    [
        "EXISTS (SELECT 1 FROM search_removed)",
        *(f"EXISTS (SELECT 1 FROM {each.table} WHERE {each.waits(each.table)})" for each in SEARCHED),
    ]
)

_EMPTY = (
    "INSERT INTO search_index (search_index) VALUES ('delete-all')",
    "DELETE FROM search_removed",
    f"UPDATE search_format SET format = {FORMAT}",
)


class SearchIndex:
    """The index of a database. Its methods raise `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_there: bool | None = None
        self.pace = Pace(_FIRST_AT_ONCE, ADDED_AT_ONCE)

    def prepare(self) -> bool:
        """See to it that there is one; False where there can be none. The schema must be up to date."""
        if self._is_there is None:
            self._is_there = is_indexed(self._database) or self._create()
        return self._is_there

    def add_some(self) -> int:
        """Bring in some rows of each table, if there is an index; returns how many at most. Reads as many rows as it brings."""
        if not self.prepare():
            return ADDED_AT_ONCE
        with self.pace.kept() as at_once:
            statements = [Statement(sql, [(at_once,)] if "?" in sql else [()]) for sql in _ADD_WAITING]
            self._database.transaction(statements, operation="index what waits")
        return at_once

    def add_rest(self, tell: Callable[[int], object] | None = None) -> None:
        """Bring in all that waits; `tell` is told what each `add_some` returns; see `pacing.do_all`."""
        do_all(lambda: self.is_waiting() and self.add_some(), tell)

    def take_out_some(self) -> bool:
        """Take out some of what was removed, if there is an index; False if there is nothing of that. It makes no index."""
        if not is_indexed(self._database):
            return False
        sql = "SELECT EXISTS (SELECT 1 FROM search_removed)"
        if not self._database.execute(sql, operation="look for what was removed").rows[0][0]:
            return False
        with self.pace.kept() as at_once:
            statements = [Statement(sql, [(at_once,)]) for sql in _TAKE_OUT]
            self._database.transaction(statements, operation="index what was removed")
        return True

    def take_out_rest(self) -> None:
        """Take out all that was removed; see `pacing.do_all`."""
        do_all(self.take_out_some)

    def is_waiting(self) -> bool:
        """Whether something is not in it that should be, or is in it still. Reads six rows at most."""
        if not self.prepare():
            return False
        return bool(self._database.execute(f"SELECT {_IS_WAITING}", operation="look for what waits").rows[0][0])

    def empty(self) -> None:
        """Begin anew: everything waits."""
        waiting = [f"UPDATE {each.table} SET search_key = NULL WHERE search_key IS NOT NULL" for each in SEARCHED]
        self._database.transaction([Statement(sql) for sql in (*_EMPTY, *waiting)], operation="empty the index")

    def _create(self) -> bool:
        statements = (*_TABLES, *(sql for searched in SEARCHED for sql in _triggers(searched)))
        try:
            self._database.transaction([Statement(sql) for sql in statements], operation="create the index")
        except (DatabaseUnusable, RowRefused) as error:
            if "already exists" in error.problem:
                return is_indexed(self._database)
            if not _lacks_fts5(error.problem):
                raise
            return False
        return True


def is_indexed(database: Database) -> bool:
    """Whether a database has an index that this code can use. Reads one row."""
    try:
        return database.look(_FORMAT_SQL, operation="look for the index").rows == [(FORMAT,)]
    except DatabaseUnusable as error:
        if "search_format" not in error.problem:
            raise
        return False


def _lacks_fts5(problem: str) -> bool:
    return "fts5" in problem.lower() or "virtual table" in problem.lower()
