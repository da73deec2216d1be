"""Bringing a database up to date: each missing version in one transaction, whoever gets there first.

Any number of processes may do so at once. A database that is newer than this code is refused and not touched.
"""

from __future__ import annotations

from turso_hooks.drivers import EmbeddedDatabase, Statement
from turso_hooks.errors import DatabaseUnusable, RowRefused, SchemaTooNew
from turso_hooks.store.migrations import LATEST, pending, statements_of

VERSION_SQL = "SELECT max(version) FROM schema_version"
_OPERATION = "prepare the schema"


def schema_version(database: EmbeddedDatabase, operation: str = "read the schema version") -> int:
    """The schema version of a database; 0 if it has none. Raises `DatabaseError`, which names `operation`."""
    try:
        rows = database.execute(VERSION_SQL, operation=operation).rows
    except DatabaseUnusable as error:
        if is_table_missing(error.problem):
            return 0
        raise
    try:
        return int(rows[0][0] or 0)
    except (TypeError, ValueError):
        raise foreign_tables(database.name, f"its schema_version says {rows[0][0]!r}") from None


def prepare_schema(database: EmbeddedDatabase) -> list[int]:
    """Apply what is missing; returns the versions applied here. Raises `DatabaseError`."""
    applied: list[int] = []
    while missing := pending(check_version(schema_version(database), database.name)):
        migration = missing[0]
        try:
            statements = [Statement(sql) for sql in statements_of(migration)]
            database.transaction(statements, operation=_OPERATION)
        except RowRefused as error:
            if "schema_version" not in error.problem or schema_version(database) < migration.version:
                raise  # not because another process was quicker
        except DatabaseUnusable as error:
            if "no such column" not in error.problem:
                raise
            raise foreign_tables(database.name, error.problem) from error
        else:
            applied.append(migration.version)
    return applied


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


def foreign_tables(name: str, problem: str) -> DatabaseUnusable:
    """The error for a database in which another program's tables have the names of ours."""
    return DatabaseUnusable(_OPERATION, name, f"another program's tables are in it: {problem}", "name another database")


def is_table_missing(problem: str) -> bool:
    """Whether an engine says that a table is not there."""
    return "no such table" in problem.lower()
