"""The steps that every database has: schema, a write and its removal, round trip."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from statistics import median

from turso_hooks.cli.checks.steps import Step
from turso_hooks.cli.text import plural
from turso_hooks.drivers import Database, Statement
from turso_hooks.errors import DatabaseUnusable
from turso_hooks.store import schema_version
from turso_hooks.store.migrations import LATEST, MIGRATIONS, ORIGINAL_COLUMNS, pending
from turso_hooks.store.schema import foreign_tables, is_table_missing, our_version

_ROUNDS = 5
_MADE = re.compile(r"CREATE TABLE (?!IF )(\w+)")
_COUNTS_VERSION = next(
    migration.version for migration in MIGRATIONS if any("CREATE TABLE journal_counts" in sql for sql in migration.statements)
)

_ROW = (
    "INSERT INTO journal_counts (writer_id, reason, count) VALUES ('{mark}', 'doctor', 1)",
    "DELETE FROM journal_counts WHERE writer_id = '{mark}'",
)
_TABLE = ("CREATE TABLE {mark} (number INTEGER)", "INSERT INTO {mark} VALUES (1)", "DROP TABLE {mark}")

Write = Callable[[list[str]], None]
"""Runs statements in one transaction."""


def schema_step(database: Database) -> Step:
    """Which version of the schema is there, and whether the tables are ours."""
    version = our_version(database)
    if version == 0:
        _check_original_tables(database)
    _check_way_is_free(database, version)
    if version == 0:
        return Step("schema", "ok", "none yet: it is made with the first event, or now by: turso-hooks migrate")
    if version < LATEST:
        found = f"version {version}, and this turso-hooks has {LATEST}: the next event brings it up to date"
        return Step("schema", "warning", found, "or run now: turso-hooks migrate")
    return Step("schema", "ok", f"version {version}, the latest")


def _check_original_tables(database: Database) -> None:
    """Raise `DatabaseUnusable` if a table of the original's names is there, and is another's."""
    for sql in ORIGINAL_COLUMNS:
        _check_columns(database, sql)


def _check_columns(database: Database, sql: str) -> None:
    try:
        database.look(sql, operation="read the schema")
    except DatabaseUnusable as error:
        if "no such column" in error.problem.lower():
            raise foreign_tables(database.name, error.problem) from error
        if not is_table_missing(error.problem):
            raise


def _check_way_is_free(database: Database, version: int) -> None:
    """Raise `DatabaseUnusable` if a table is there that a migration is yet to make."""
    coming = {name for migration in pending(version) for sql in migration.statements for name in _MADE.findall(sql)}
    there = {row[0] for row in database.look("SELECT name FROM sqlite_master", operation="read the schema").rows}
    if names := sorted(coming & there):
        raise foreign_tables(database.name, f"{', '.join(names)}, which no migration of ours has made yet")


def write_step(database: Database, write: Write) -> Step:
    """A real write. It is taken back in the same transaction, so that nothing is left of it whatever happens."""
    version = schema_version(database)
    mark = f"turso_hooks_doctor_{os.urandom(8).hex()}"
    if version >= _COUNTS_VERSION:
        write([sql.format(mark=mark) for sql in _ROW])
        return Step("write", "ok", "a row was written and removed, in one transaction")
    write([sql.format(mark=mark) for sql in _TABLE])
    return Step("write", "ok", "a table was made and removed, in one transaction")


def in_transaction(database: Database) -> Write:
    """How a server writes."""
    return lambda statements: database.transaction([Statement(sql) for sql in statements], operation="write a test row")


def keeping_journal_mode(database: Database) -> Write:
    """How a file is written to by somebody who must not change its journal mode: `transaction` would switch it to WAL."""

    def write(statements: list[str]) -> None:
        with database:  # closing rolls back what is not committed
            for sql in ("BEGIN IMMEDIATE", *statements, "COMMIT"):
                database.look(sql, operation="write a test row")

    return write


def round_trip_step(database: Database, patience_s: float) -> Step:
    """How long the smallest request takes; as many as there is time for, five at most."""
    took: list[float] = []
    deadline = time.monotonic() + patience_s
    while len(took) < _ROUNDS and (not took or time.monotonic() < deadline):
        began = time.monotonic()
        database.look("SELECT 1", operation="measure a round trip")
        took.append((time.monotonic() - began) * 1000)
    middle = median(took)
    numbers = f"median {_shown_ms(middle)} ms, {_shown_ms(min(took))} to {_shown_ms(max(took))} ms"
    return Step("round trip", "ok", f"{numbers}, of {plural(len(took), 'request')}", ms=middle)


def _shown_ms(ms: float) -> str:
    return f"{ms:.1f}" if ms >= 1 else f"{ms:.2f}"
