"""What the database says about the journal: how far each writer is, what was not kept, and what was set aside.

Dead letters are kept until a person decides: put back, they become the rows they should have been; discarded, they are gone.
Either is one transaction, counted (`dead_letter_retried`, `dead_letter_discarded`), and takes effect once, whoever asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from turso_hooks.drivers import Database, Statement
from turso_hooks.errors import DatabaseUnusable, EventError, RowRefused, describe
from turso_hooks.events import decode
from turso_hooks.store.numbering import Gap
from turso_hooks.store.rows import row_of
from turso_hooks.store.schema import is_table_missing, schema_version
from turso_hooks.store.writing import FINISHED_WRITERS, gap_of, row_statements

_OPERATION = "read the journal's ledger"
_FIRST_VERSION = 3
"""The schema version that brought the ledger."""

# One statement, so that all of it is of one moment, on every engine and over every protocol.
_READ_LEDGER = """
    SELECT 'writer', writer_id, segment, end_offset, records, next_number, updated_at, finished_at FROM journal_writers
    UNION ALL SELECT 'gap', writer_id, first_number, last_number, reason, sessions, NULL, NULL FROM journal_gaps
    UNION ALL SELECT 'count', writer_id, reason, count, NULL, NULL, NULL, NULL FROM journal_counts
    UNION ALL SELECT 'dead letter', writer_id, reason, count(*), NULL, NULL, NULL, NULL FROM dead_letters GROUP BY 2, 3"""

_IS_THERE = """
    INSERT INTO dead_letters (id, writer_id, number, reason, payload, created_at)
    SELECT ?, NULL, NULL, NULL, NULL, NULL WHERE NOT EXISTS (SELECT 1 FROM dead_letters WHERE id = ?)"""
"""Fails where the letter is gone, in the way of `writing`: a NULL in a NOT NULL column."""

_COUNT_AND_DELETE = (
    """INSERT INTO journal_counts (writer_id, reason, count)
    SELECT coalesce((SELECT writer_id FROM journal_writers WHERE writer_id = dead_letters.writer_id), ?), ?, 1
    FROM dead_letters WHERE id = ?
    ON CONFLICT (writer_id, reason) DO UPDATE SET count = journal_counts.count + 1""",
    "DELETE FROM dead_letters WHERE id = ?",
)


@dataclass(frozen=True)
class WriterEntry:
    """How far a writer's records are. The entry `finished` sums up the writers that finished long ago."""

    writer_id: str
    segment: int
    end_offset: int
    records: int
    next_number: int
    updated_at: str
    finished_at: str | None


@dataclass(frozen=True)
class Ledger:
    """All that is told of writers, how many dead letters there are by writer and reason, and which numbers did not come."""

    writers: dict[str, WriterEntry]
    counts: dict[str, Counter[str]]
    """Writer to reason to number."""
    dead_letters: dict[str, Counter[str]]
    gaps: dict[str, list[Gap]]


@dataclass(frozen=True)
class StoredDeadLetter:
    """A record that could not become a row; `id` is its writer, segment and offset."""

    id: str
    writer_id: str
    number: int
    reason: str
    payload: bytes
    created_at: str


def read_ledger(database: Database) -> Ledger | None:
    """The ledger, all of one moment; None if nothing was ever shipped to this database. Raises `DatabaseError`.

    Reads a row for each writer of the last day, each of their reasons, each dead letter and each gap that was ever found.
    """
    try:
        rows = database.execute(_READ_LEDGER, operation=_OPERATION).rows
    except DatabaseUnusable as error:
        if is_table_missing(error.problem) and schema_version(database, _OPERATION) < _FIRST_VERSION:
            return None
        raise
    ledger = Ledger({}, {}, {}, {})
    for kind, writer_id, *values in rows:
        if kind == "writer":
            ledger.writers[writer_id] = WriterEntry(writer_id, *values)
        elif kind == "gap":
            ledger.gaps.setdefault(writer_id, []).append(gap_of(*values[:4]))
        else:
            by_writer = ledger.counts if kind == "count" else ledger.dead_letters
            by_writer.setdefault(writer_id, Counter())[values[0]] += values[1]
    return ledger


def read_dead_letters(database: Database) -> Iterator[StoredDeadLetter]:
    """All dead letters in the order of their ids, one at a time: each may be megabytes. Raises `DatabaseError`."""
    letter = _read_dead_letter(database, "id > ? ORDER BY id LIMIT 1", "")
    while letter is not None:
        yield letter
        letter = _read_dead_letter(database, "id > ? ORDER BY id LIMIT 1", letter.id)


def read_dead_letter(database: Database, letter_id: str) -> StoredDeadLetter | None:
    """One dead letter; None if there is none of that id. Raises `DatabaseError`."""
    return _read_dead_letter(database, "id = ?", letter_id)


def _read_dead_letter(database: Database, condition: str, letter_id: str) -> StoredDeadLetter | None:
    sql = f"SELECT id, writer_id, number, reason, payload, created_at FROM dead_letters WHERE {condition}"
    rows = database.execute(sql, (letter_id,), operation="read dead letters").rows
    return StoredDeadLetter(*rows[0]) if rows else None


def retry_dead_letter(database: Database, letter: StoredDeadLetter) -> str | None:
    """Make a dead letter the row it should have been. None if it is one now, else why not: then it stays, with that reason.

    Raises `KeyError` if it is not there any more, and `DatabaseError` if the database cannot be used.
    """
    try:
        rows = row_statements([row_of(decode(letter.payload))])
    except Exception as error:  # noqa: BLE001  # as in shipping: whatever a record does to us is a reason, not an end
        return _stays(database, letter, describe(error))
    try:
        is_there = Statement(_IS_THERE, [(letter.id, letter.id)])
        steps = [is_there, *rows, *_gone(letter.id, "dead_letter_retried")]
        database.transaction([step for step in steps if step.rows], operation="put a dead letter back")
    except RowRefused as error:
        if "dead_letters." in error.problem:
            raise KeyError(letter.id) from error
        return _stays(database, letter, error.problem)
    return None


def discard_dead_letter(database: Database, letter_id: str) -> None:
    """Throw a dead letter away; nothing happens if it is not there. Raises `DatabaseError`."""
    database.transaction(_gone(letter_id, "dead_letter_discarded"), operation="discard a dead letter")


def discard_dead_letters_of(database: Database, session_ids: Collection[str]) -> int:
    """Throw away what was set aside of some sessions; how many dead letters that were. Reads all of them."""
    found = [letter.id for letter in read_dead_letters(database) if _session_of(letter) in session_ids]
    for letter_id in found:
        discard_dead_letter(database, letter_id)
    return len(found)


def _session_of(letter: StoredDeadLetter) -> str | None:
    try:
        return decode(letter.payload).session_id
    except EventError:
        return None


def _gone(letter_id: str, reason: str) -> list[Statement]:
    count, delete = _COUNT_AND_DELETE
    return [Statement(count, [(FINISHED_WRITERS, reason, letter_id)]), Statement(delete, [(letter_id,)])]


def _stays(database: Database, letter: StoredDeadLetter, reason: str) -> str:
    update = Statement("UPDATE dead_letters SET reason = ? WHERE id = ?", [(reason, letter.id)])
    database.transaction([update], operation="note why a dead letter stays")
    return reason
