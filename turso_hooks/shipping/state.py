"""The state of things, for people: what waits, what was shipped, what was not kept and why, by database and by writer.

Put together from the journal's files and, if it can be read, the database. Nothing is locked, changed or waited for, so it is
the state of a moment that goes on: a record that is being shipped just now may be told as waiting, or not at all.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from turso_hooks.drivers import Database
from turso_hooks.errors import DatabaseError, EventError
from turso_hooks.events import decode
from turso_hooks.events.times import in_utc
from turso_hooks.journal import JournalFolder, Look, Record, look_into, slices_of
from turso_hooks.shipping.contact import read_contact
from turso_hooks.shipping.counts import decode_tally
from turso_hooks.store import FINISHED_WRITERS, Ledger, WriterEntry, read_ledger


@dataclass
class WriterState:
    """What became of the records of one writer, which is one process's turn at one database."""

    writer_id: str
    """`finished` sums up all that finished more than a day ago."""
    began_at: datetime | None
    state: str = "shipped"
    """`in use` (it runs, or a process is shipping what it left), `left behind`, or `shipped` (no file of it is there)."""
    segments: int = 0
    waiting_records: int = 0
    waiting_bytes: int = 0
    waiting_since: datetime | None = None
    """When the first event that waits happened."""
    shipped_records: int = 0
    missing_numbers: int = 0
    """Numbers that did not come, of those given out so far: refused or damaged."""
    shipped_at: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    """What was not kept, or not as it was, by reason."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """What is set aside, by reason."""


@dataclass
class TargetState:
    """One database, and the journal of what is bound for it."""

    target: str
    folder: Path
    journal_bytes: int
    waiting_records: int = 0
    waiting_bytes: int = 0
    waiting_since: datetime | None = None
    shipped_records: int = 0
    missing_numbers: int = 0
    damages: int = 0
    """Damaged stretches in what waits; counted once they are passed over."""
    counts: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    reached_at: datetime | None = None
    """When a shipper last reached the database."""
    problem: str | None = None
    """What the last shipper ran into, if none has reached the database since."""
    failed_at: datetime | None = None
    unread: str | None = None
    """Why the database could not be read for this; then what was shipped, counted and set aside in it is not known here."""
    writers: list[WriterState] = field(default_factory=list)
    of_another_version: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


def read_state(folder: JournalFolder, database: Database | None) -> TargetState:
    """The state of one database; with None for it, of its journal alone. Raises `OSError` if the journal cannot be read.

    Reads every record that waits, at about 2 us each, and of the database what `store.read_ledger` reads.
    """
    contact = read_contact(folder)
    state = TargetState(folder.target, folder.path, folder.used_bytes())
    state.reached_at, state.problem, state.failed_at = contact
    ledger = _ledger(database, state)
    writers = {writer_id: _shipped(writer_id, ledger) for writer_id in (*ledger.writers, *ledger.counts, *ledger.dead_letters)}
    for look in look_into(folder):
        writer_id = look.file.writer_id
        writer = writers.setdefault(writer_id, WriterState(writer_id, _born(writer_id)))
        state.damages += _add_waiting(writer, look, ledger.writers.get(writer_id))
    state.writers = sorted(writers.values(), key=lambda writer: (writer.writer_id != FINISHED_WRITERS, writer.writer_id))
    for writer in state.writers:
        _add_up(state, writer)
    state.of_another_version = folder.of_another_version()
    state.unreadable = sorted(folder.unreadable)
    return state


def _ledger(database: Database | None, state: TargetState) -> Ledger:
    try:
        found = None if database is None else read_ledger(database)
    except DatabaseError as error:
        state.unread, found = str(error), None
    return found or Ledger({}, {}, {}, {})


def _shipped(writer_id: str, ledger: Ledger) -> WriterState:
    """What the database knows of a writer."""
    writer = WriterState(writer_id, _born(writer_id))
    entry = ledger.writers.get(writer_id)
    if entry is not None:
        writer.shipped_records, writer.shipped_at = entry.records, entry.updated_at
        writer.missing_numbers = max(entry.next_number - entry.records, 0)
    writer.counts += ledger.counts.get(writer_id, Counter())
    writer.dead_letters += ledger.dead_letters.get(writer_id, Counter())
    return writer


def _add_waiting(writer: WriterState, look: Look, entry: WriterEntry | None) -> int:
    """Add what waits in one file; the number of damaged stretches in it."""
    writer.segments += 1
    writer.state = "in use" if look.is_held or writer.state == "in use" else "left behind"
    done = (0, 0) if entry is None else (entry.segment, entry.end_offset)
    here = look.segment
    begin = 0 if here.index > done[0] else min(done[1], here.size) if here.index == done[0] else here.size
    writer.waiting_bytes += here.size - begin
    damages = 0
    for found in slices_of(here, begin):
        damages += found.damages
        for record in found.records:
            _add_record(writer, record)
    return damages


def _add_record(writer: WriterState, record: Record) -> None:
    writer.waiting_records += 1
    tally = decode_tally(record.payload)
    if tally is not None:
        writer.counts += tally
    elif writer.waiting_since is None:
        with suppress(EventError):
            writer.waiting_since = in_utc(decode(record.payload).occurred_at)


def _add_up(state: TargetState, writer: WriterState) -> None:
    state.waiting_records += writer.waiting_records
    state.waiting_bytes += writer.waiting_bytes
    state.shipped_records += writer.shipped_records
    state.missing_numbers += writer.missing_numbers
    state.counts += writer.counts
    state.dead_letters += writer.dead_letters
    if writer.waiting_since is not None:
        state.waiting_since = min(state.waiting_since or writer.waiting_since, writer.waiting_since)


def _born(writer_id: str) -> datetime | None:
    """When a writer began, by its id."""
    try:
        return datetime.fromtimestamp(int(writer_id[:16], 16) / 1e9, timezone.utc)
    except (ValueError, OverflowError):
        return None
