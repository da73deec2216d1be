"""Bringing a database up to date: each missing version in one transaction (a new database: all), whoever gets there first.

Any number of processes may do so at once. A database that is newer than this code is refused and not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from turso_hooks.drivers import Database, Statement
from turso_hooks.errors import DatabaseUnusable, RequestTooLarge, RowRefused, SchemaTooNew
from turso_hooks.store.migrations import ALL_ORIGINAL_COLUMNS, LATEST, Migration, pending, statements_of

VERSION_SQL = "SELECT max(version) FROM schema_version"
_OPERATION = "prepare the schema"

_FOREIGN = ("no such column", "no such table", "already exists", "duplicate column", "on conflict clause")
"""What SQLite says when a table is not as a migration left it."""


def schema_version(database: Database, operation: str = "read the schema version") -> int:
    """The schema version of a database; 0 if it has none. Raises `DatabaseError`, which names `operation`."""
    try:
        version = database.look(VERSION_SQL, operation=operation).rows[0][0]
    except DatabaseUnusable as error:
        if is_table_missing(error.problem):
            return 0
        if "no such column" in error.problem:
            raise foreign_tables(database.name, error.problem, operation) from error
        raise
    if version is None:
        return 0
    if isinstance(version, int) and version > 0:
        return version
    raise foreign_tables(database.name, f"its schema_version says {version!r:.40}", operation)


def born_at(database: Database) -> str | None:
    """When a database first got a schema, as text: tells it from one that was there before under its name."""
    rows = database.look(
        "SELECT applied_at FROM schema_version ORDER BY version LIMIT 1", operation="read the schema version"
    ).rows
    return str(rows[0][0]) if rows else None


def prepare_schema(database: Database) -> list[int]:
    """Apply what is missing; returns the versions applied here. Raises `DatabaseError`.

    A new database takes one transaction, if a server takes so much at once; another one for each version, so that what takes
    long is not done twice.
    """
    applied: list[int] = []
    is_too_large = False
    while missing := pending(version := our_version(database)):
        for migrations in [[each] for each in missing] if version or is_too_large else [missing]:
            try:
                is_applied_here = _are_applied_here(database, migrations)
            except RequestTooLarge:
                if len(migrations) == 1:
                    raise
                is_too_large = True
                break
            if not is_applied_here:
                break  # where the other process has got to is looked at anew
            applied += [migration.version for migration in migrations]
        else:
            break
    return applied


def _are_applied_here(database: Database, migrations: Sequence[Migration]) -> bool:
    """Apply migrations in one transaction; False if another process was quicker."""
    try:
        statements = [Statement(sql) for migration in migrations for sql in statements_of(migration)]
        with _foreign_tables_named():
            database.transaction(statements, operation=_OPERATION)
    except RowRefused as error:
        if "schema_version" not in error.problem or schema_version(database) < migrations[0].version:
            raise
        return False
    return True


def check_version(version: int, name: str) -> int:
    """`version`, or `SchemaTooNew` if this code does not know it."""
    if version > LATEST:
        raise SchemaTooNew(
            "use the database",
            name,
            f"its schema is version {version}, and this turso-hooks knows {LATEST}",
            "upgrade it: pip install --upgrade turso-hooks",
        )
    return version


def foreign_tables(name: str, problem: str, operation: str = _OPERATION) -> DatabaseUnusable:
    """The error for a database in which another program's tables have the names of ours."""
    return DatabaseUnusable(operation, name, f"another program's tables are in it: {problem}", "name another database")


def our_version(database: Database) -> int:
    """The schema version, if it is one of ours: other programs have a table of that name too, with their versions."""
    version = schema_version(database)
    if version:
        with _foreign_tables_named():
            database.look(ALL_ORIGINAL_COLUMNS, operation=_OPERATION)
    return check_version(version, database.name)


@contextmanager
def _foreign_tables_named() -> Iterator[None]:
    try:
        yield
    except DatabaseUnusable as error:
        if not any(words in error.problem.lower() for words in _FOREIGN):
            raise
        raise foreign_tables(error.target, error.problem, error.operation) from error


def is_table_missing(problem: str) -> bool:
    """Whether an engine says that a table is not there."""
    return "no such table" in problem.lower()
