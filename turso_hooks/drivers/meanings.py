"""What the words of engines and servers mean: whether to try again, to ask a person, or to set a row aside. Pure.

SQLite's words are those of https://www.sqlite.org/rescode.html; libSQL and Turso's engine put their own in front of the same.
Python 3.10 gives no codes for them, and Turso's server one code for all failures of a batch, so the words decide.
"""

from __future__ import annotations

from turso_hooks.errors import (
    DatabaseError,
    DatabaseLocked,
    DatabaseUnavailable,
    DatabaseUnusable,
    RequestTooLarge,
    ResponseTooLarge,
    RowRefused,
)

_MEANINGS: tuple[tuple[str, type[DatabaseError], str], ...] = (
    ("blocked", DatabaseUnavailable, "see the database's plan and quota, at its provider"),
    ("locked", DatabaseLocked, "another program holds the database; try again when it is done"),
    ("is busy", DatabaseLocked, "another program holds the database; try again when it is done"),
    ("snapshot is stale", DatabaseUnavailable, "try again"),
    ("transaction timed out", DatabaseUnavailable, "try again"),
    ("transaction timeout", DatabaseUnavailable, "try again"),
    ("within a transaction", DatabaseUnavailable, "another client of the server left its transaction open; end that"),
    ("disk is full", DatabaseUnavailable, "make room on the disk"),
    ("database is full", DatabaseUnavailable, "make room on the disk"),
    ("i/o error", DatabaseUnavailable, "look at the disk and its free space"),
    ("interrupted", DatabaseUnavailable, "try again"),
    ("unable to open", DatabaseUnusable, "check that the folder {folder} exists and is writable, and that the file is there"),
    ("not a database", DatabaseUnusable, "name another file: this one is no SQLite database"),
    ("malformed json", RowRefused, ""),
    ("malformed", DatabaseUnusable, "restore the file from a backup, or name another"),
    ("readonly", DatabaseUnusable, "make the file and its folder {folder} writable"),
    ("no such table", DatabaseUnusable, "run: turso-hooks migrate"),
    ("no such column", DatabaseUnusable, "run: turso-hooks migrate"),
    ("constraint failed", RowRefused, ""),
    ("datatype mismatch", RowRefused, ""),
    ("response is too large", ResponseTooLarge, "ask for less at once"),
    ("too big", RequestTooLarge, "write less at once"),
    ("binding parameter", RowRefused, ""),
    ("number of bindings", RowRefused, ""),
    ("do not match sql parameters", RowRefused, ""),
    ("runtime error: ", RowRefused, ""),  # Turso's engine, of what a row's values do; of a statement it says "parse error"
)

_CODES: dict[str, tuple[type[DatabaseError], str]] = {
    "BLOCKED": (DatabaseUnavailable, "see the database's plan and quota, at its provider"),
    "SQLITE_BUSY": (DatabaseLocked, "another program holds the database; try again when it is done"),
    "SQLITE_LOCKED": (DatabaseLocked, "another program holds the database; try again when it is done"),
    "SQLITE_CONSTRAINT": (RowRefused, ""),
    "SQLITE_MISMATCH": (RowRefused, ""),
}
"""Codes of libsql-server (https://github.com/tursodatabase/libsql, hrana error codes) that decide before any words do."""


def meaning_of(problem: str, code: str = "") -> tuple[type[DatabaseError], str] | None:
    """What went wrong, as the class of error and what to do about it; None if the words are not known.

    `{folder}` in the remedy stands for the folder of the database's file.
    """
    if code in _CODES:
        return _CODES[code]
    said = problem.lower()
    return next(((kind, remedy) for words, kind, remedy in _MEANINGS if words in said), None)
