"""One batch, one transaction: rows, dead letters, counts, and how far the writer's journal has come.

The transaction begins with a compare-and-set of the writer's position. If that is not where the batch begins, another shipper
has been here, or the answer to an earlier batch was lost on its way: then all of it rolls back (`PositionMoved`), and nothing
takes effect twice. So it does if a newer turso-hooks has changed the schema since it was looked at. The comparison is a NULL
in a NOT NULL column, which every engine refuses, in a batch without answers as in a conversation.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from turso_hooks.drivers import Bulk, Database, Statement
from turso_hooks.errors import PositionMoved, RowRefused
from turso_hooks.events import to_text
from turso_hooks.store.migrations import LATEST
from turso_hooks.store.numbering import Gap, Numbering
from turso_hooks.store.rows import BULK_SESSION_SEEN, SESSION_SEEN, SESSIONS, TABLES, Row, in_json, to_json

FINISHED_KEPT = timedelta(days=1)
"""How long a finished writer keeps its row: longer than any batch of it can still be on its way."""

FINISHED_WRITERS = "finished"
"""The writer id under which finished writers are summed up."""

# Piece by piece: together they could be larger than the largest value that a server takes.
_ADD_PIECE = "INSERT INTO payloads (id, piece, text) VALUES (?, ?, ?) ON CONFLICT (id, piece) DO NOTHING"
_REFER = "INSERT INTO payload_sessions (payload_id, session_id) VALUES (?, ?) ON CONFLICT (payload_id, session_id) DO NOTHING"

_UPSERTS = {table.name: (table.upsert(), table.bulk_upsert()) for table in TABLES}

_MOVE_POSITION = f"""
    INSERT INTO journal_writers (writer_id, segment, end_offset, records, next_number, updated_at)
    SELECT ?,
        CASE WHEN (SELECT segment || ':' || end_offset FROM journal_writers WHERE writer_id = ?) IS ?
            AND (SELECT max(version) FROM schema_version) <= {LATEST} THEN ? END,
        ?, ?, ?, ?
    WHERE true
    ON CONFLICT (writer_id) DO UPDATE SET
        finished_at = NULL, segment = excluded.segment, end_offset = excluded.end_offset, updated_at = excluded.updated_at,
        records = journal_writers.records + excluded.records, next_number = excluded.next_number"""

_ADD_COUNT = """
    INSERT INTO journal_counts (writer_id, reason, count) VALUES (?, ?, ?)
    ON CONFLICT (writer_id, reason) DO UPDATE SET count = journal_counts.count + excluded.count"""

_ADD_DEAD_LETTER = """
    INSERT INTO dead_letters (id, writer_id, number, reason, payload, created_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING"""


def _open_gap(arriving: str) -> str:
    return f"""
    INSERT INTO journal_gaps (writer_id, first_number, last_number, reason, sessions, noted_at) {arriving}
    ON CONFLICT (writer_id, first_number) DO UPDATE SET last_number = excluded.last_number"""


_OPEN_GAP = _open_gap("VALUES (?, ?, ?, ?, ?, ?)")
_OPEN_GAPS = Bulk(_open_gap(f"SELECT {', '.join(map(in_json, range(6)))} FROM json_each(?) WHERE true"))
_CLOSE_GAP = "DELETE FROM journal_gaps WHERE writer_id = ? AND first_number = ?"

_READ_STANDING = """
    SELECT segment, end_offset, next_number, first_number, last_number, reason, sessions
    FROM journal_writers LEFT JOIN journal_gaps ON journal_gaps.writer_id = journal_writers.writer_id
    WHERE journal_writers.writer_id = ?"""

_FOLD = (
    """INSERT INTO journal_writers (writer_id, segment, end_offset, records, next_number, updated_at)
    SELECT '{all}', 0, 0, records, next_number, updated_at FROM (
        SELECT sum(records) AS records, sum(next_number) AS next_number, max(updated_at) AS updated_at
        FROM journal_writers WHERE finished_at < ?)
    WHERE records IS NOT NULL
    ON CONFLICT (writer_id) DO UPDATE SET records = journal_writers.records + excluded.records,
        next_number = journal_writers.next_number + excluded.next_number, updated_at = excluded.updated_at""",
    """INSERT INTO journal_counts (writer_id, reason, count)
    SELECT '{all}', reason, sum(count) FROM journal_counts
    WHERE writer_id IN (SELECT writer_id FROM journal_writers WHERE finished_at < ?) GROUP BY reason
    ON CONFLICT (writer_id, reason) DO UPDATE SET count = journal_counts.count + excluded.count""",
    """DELETE FROM journal_counts
    WHERE writer_id IN (SELECT writer_id FROM journal_writers WHERE finished_at < ?)""",
    "DELETE FROM journal_writers WHERE finished_at < ?",
)


class Position(NamedTuple):
    """How far a writer's records are in the database: up to which offset of which segment."""

    segment: int
    offset: int


class Standing(NamedTuple):
    """What the database knows of a writer: its position, None if it does not know the writer, and which numbers came."""

    position: Position | None
    numbering: Numbering


class DeadLetter(NamedTuple):
    """A record that cannot become a row, and why."""

    number: int
    position: Position
    """Where it begins: a number may come twice where damage was in the way of counting."""
    payload: bytes
    reason: str


@dataclass(frozen=True)
class Batch:
    """Consecutive records of one writer, as what they become."""

    writer_id: str
    begin: Standing
    """Where the writer stands before."""
    end: Standing
    """Where it stands with them."""
    rows: Sequence[Row]
    records: int
    """How many records these are, dead letters and counts included."""
    dead_letters: Sequence[DeadLetter] = ()
    counts: Counter[str] = field(default_factory=Counter)


def read_standing(database: Database, writer_id: str) -> Standing:
    """How far a writer's records are in the database. Raises `DatabaseError`."""
    rows = database.execute(_READ_STANDING, (writer_id,), operation="read a position").rows
    if not rows:
        return Standing(None, Numbering())
    segment, end_offset, next_number = rows[0][:3]
    gaps = [gap_of(*row[3:]) for row in rows if row[3] is not None]
    return Standing(Position(segment, end_offset), Numbering(next_number, gaps))


def gap_of(first: int, last: int, reason: str | None, sessions: str | None) -> Gap:
    """A gap as the table has it."""
    return Gap(first, last, reason, tuple(json.loads(sessions or "[]")))


def write_batch(database: Database, batch: Batch, now: datetime) -> None:
    """Write a batch, wholly or not at all.

    Raises `PositionMoved` if the writer does not stand where the batch begins, or the schema is newer than this code,
    `RowRefused` if a row of it is not taken, and other `DatabaseError`s.
    """
    try:
        database.transaction(_statements(batch, to_text(now)), operation="write a batch")
    except RowRefused as error:
        if "journal_writers.segment" not in error.problem:
            raise
        raise PositionMoved(error.operation, error.target, "another shipper was here, or a newer schema is") from error


def finish_writer(database: Database, writer_id: str, now: datetime) -> None:
    """Note that nothing more will come of a writer; sum up those that finished long ago. Raises `DatabaseError`."""
    finished = Statement(
        "UPDATE journal_writers SET finished_at = ? WHERE writer_id = ? AND finished_at IS NULL",
        [(to_text(now), writer_id)],
    )
    before = [(to_text(now - FINISHED_KEPT),)]
    fold = [Statement(sql.format(all=FINISHED_WRITERS), before) for sql in _FOLD]
    database.transaction([finished, *fold], operation="note a finished writer")


def row_statements(rows: Sequence[Row]) -> list[Statement]:
    """What brings rows into their tables: sessions first, each of the others with the session it belongs to.

    Of some of the statements there may be no rows.
    """
    by_table: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        by_table[row.table.name].append(row.values)
    seen = Statement(SESSION_SEEN, _sessions_seen(rows), BULK_SESSION_SEEN)
    payloads = {payload.id: payload for row in rows for payload in row.payloads}
    pieces = [piece for payload in payloads.values() for piece in payload.pieces()]
    references = sorted({(payload.id, row.session_id) for row in rows for payload in row.payloads})
    upserts = [statement for table in TABLES for statement in _upserts(table.name, by_table[table.name])]
    return [seen, Statement(_ADD_PIECE, pieces), Statement(_REFER, references), *upserts]


def _upserts(table: str, rows: Sequence[tuple[Any, ...]]) -> list[Statement]:
    """The n-th row of an id is in the n-th statement: see `Bulk`."""
    sql, bulk = _UPSERTS[table]
    statements: list[list[tuple[Any, ...]]] = []
    seen: Counter[str] = Counter()
    for row in rows:
        row_id = row[0]
        if seen[row_id] == len(statements):
            statements.append([])
        statements[seen[row_id]].append(row)
        seen[row_id] += 1
    return [Statement(sql, together, bulk) for together in statements]


def _statements(batch: Batch, now: str) -> list[Statement]:
    letters = [
        (
            f"{batch.writer_id}:{letter.position.segment}:{letter.position.offset}",
            batch.writer_id,
            letter.number,
            letter.reason,
            letter.payload,
            now,
        )
        for letter in batch.dead_letters
    ]
    counts = [(batch.writer_id, reason, count) for reason, count in batch.counts.items()]
    before, after = set(batch.begin.numbering.gaps), set(batch.end.numbering.gaps)
    closed = [(batch.writer_id, gap.first) for gap in before - after]
    opened = [(batch.writer_id, gap.first, gap.last, gap.reason, to_json(gap.sessions), now) for gap in after - before]
    optional = [
        *row_statements(batch.rows),
        Statement(_ADD_DEAD_LETTER, letters),
        Statement(_ADD_COUNT, counts),
        Statement(_CLOSE_GAP, closed),
        Statement(_OPEN_GAP, opened, _OPEN_GAPS),
    ]
    return [_move_position(batch, now), *(statement for statement in optional if statement.rows)]


def _move_position(batch: Batch, now: str) -> Statement:
    begin, end = batch.begin.position, batch.end.position
    assert end is not None
    expected = None if begin is None else f"{begin.segment}:{begin.offset}"
    next_number = batch.end.numbering.next_number
    return Statement(
        _MOVE_POSITION,
        [(batch.writer_id, batch.writer_id, expected, end.segment, end.offset, batch.records, next_number, now)],
    )


def _sessions_seen(rows: Sequence[Row]) -> list[tuple[str, str, int, int]]:
    """For each session of which something else than itself is written, the earliest time and the latest."""
    earliest: dict[str, tuple[str, int]] = {}
    latest: dict[str, int] = {}
    for row in rows:
        if row.table is not SESSIONS:
            seen = (row.seen_at, row.seen_ms)
            earliest[row.session_id] = min(seen, earliest.get(row.session_id, seen))
            latest[row.session_id] = max(row.seen_ms, latest.get(row.session_id, row.seen_ms))
    return [(session_id, *seen, latest[session_id]) for session_id, seen in earliest.items()]
