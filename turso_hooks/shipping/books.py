"""The books of a database and its journal: whether every number that a writer gave out is accounted for.

Each record has a number, so what came, what waits and what is missing must add up, writer by writer, and what is missing must
have a reason: the journal was damaged there, or it refused and told so. The journal is read first and the database after it, in
one statement: what is shipped in between then counts as shipped, and writers and shippers may go on meanwhile.

What cannot be seen from here is said: the end of the numbers of writers on other machines, whose journals are not here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from turso_hooks.drivers import Database
from turso_hooks.journal import JournalFolder, Look, Record, look_into, slices_of
from turso_hooks.shipping.counts import REFUSED, decode_tally
from turso_hooks.shipping.source import sessions_of
from turso_hooks.store import DAMAGED, FINISHED_WRITERS, Gap, Ledger, Numbering, Position, WriterEntry, read_ledger


@dataclass
class WriterBooks:
    """What became of the numbers of one writer; `finished` sums up those that finished more than a day ago."""

    writer_id: str
    numbers: int = 0
    """How many were given out, as far as is known: one more than the greatest that came or waits."""
    shipped: int = 0
    waiting: int = 0
    gaps: list[Gap] = field(default_factory=list)
    """Numbers that neither came nor wait."""
    unnamed: int = 0
    """How many are missing that are in none of the gaps: they were missed before gaps were noted (schema version 4)."""
    repeated: int = 0
    """Records more than there are numbers for."""
    refused: int = 0
    """How many the journal refused and told of; some may be later than all that came."""
    is_here: bool = False
    """Its journal, or some of it, is here."""
    is_finished: bool = False

    @property
    def missing(self) -> int:
        """Numbers that neither came nor wait."""
        return sum(gap.numbers for gap in self.gaps) + self.unnamed

    @property
    def damaged(self) -> int:
        """Those that lay where the journal was damaged."""
        return sum(gap.numbers for gap in self.gaps if gap.reason == DAMAGED)

    @property
    def unaccounted(self) -> int:
        """Those for which no reason is known."""
        return max(self.missing - self.damaged - self.refused, 0)


@dataclass
class Books:
    """The books of one database and of its journal on this machine."""

    target: str
    folder: Path
    writers: list[WriterBooks] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """What was not kept, or not as it was, by reason: also of what has no number."""
    dead_letters: int = 0
    """How many are set aside."""
    problems: list[str] = field(default_factory=list)
    """Why the books do not balance; empty if they do."""
    unseen: list[str] = field(default_factory=list)
    """What cannot be seen from here."""
    held: set[str] = field(default_factory=set)
    """Writers whose files somebody has: most likely they go on."""

    def total(self, what: str) -> int:
        """The sum of a field over all writers."""
        return sum(getattr(writer, what) for writer in self.writers)


def read_books(folder: JournalFolder, database: Database | None) -> Books:
    """Read the books; with None for the database, as if nothing had come to it yet.

    Raises `DatabaseError` if the database, and `OSError` if the journal cannot be read.

    Reads every record that waits, and of the database what `store.read_ledger` reads.
    """
    books = Books(folder.target, folder.path)
    waiting = _read_journal(folder, books)
    ledger = (None if database is None else read_ledger(database)) or Ledger({}, {}, {}, {})
    for writer_id in sorted({*ledger.writers, *waiting}):
        entry = ledger.writers.get(writer_id)
        writer, counts = _settle(writer_id, entry, ledger.gaps.pop(writer_id, []), waiting.get(writer_id, []))
        counts += ledger.counts.pop(writer_id, Counter())
        writer.refused = sum(counts[reason] for reason in REFUSED)
        books.counts += counts
        books.writers.append(writer)
    _add_finished(books, ledger)
    books.dead_letters = sum(sum(letters.values()) for letters in ledger.dead_letters.values())
    books.problems += _problems(books)
    books.unseen += _unseen(books)
    return books


@dataclass
class _Run:
    """Records of one segment whose numbers follow each other, one after the other."""

    segment: int
    first: int
    last: int
    start: int
    end: int
    sessions: tuple[list[str], list[str]]
    """Of the first and of the last record: the session, if it is an event."""
    is_after_damage: bool
    is_before_damage: bool = False
    """It is the last of its segment, and damage follows."""
    tallies: list[tuple[int, Counter[str]]] = field(default_factory=list)
    """Offsets and counts of those among them that tell counts."""


def _read_journal(folder: JournalFolder, books: Books) -> dict[str, list[_Run]]:
    """All that is in the files, by writer and in order."""
    found: dict[str, list[_Run]] = {}
    for look in look_into(folder):
        found.setdefault(look.file.writer_id, []).extend(_runs(look))
        if look.is_held:
            books.held.add(look.file.writer_id)
    for path in sorted(folder.unreadable):
        books.problems.append(f"the journal file {path} cannot be opened: see to its rights")
    for path in folder.of_another_version():
        books.unseen.append(f"what is in {path}: another version of turso-hooks wrote it, and can read it")
    return found


def _runs(look: Look) -> Iterator[_Run]:
    """The runs of a file; its records themselves are not kept, for there may be gigabytes of them."""
    run: _Run | None = None
    last: Record | None = None
    end = end_of_slice = 0
    for found in slices_of(look.segment):
        end_of_slice = found.end
        for record in found.records:
            if run is None or last is None or record.number != run.last + 1 or record.start != end:
                if run is not None and last is not None:
                    yield _ended(run, last)
                sessions = list(sessions_of(record))
                run = _Run(
                    look.file.index, record.number, record.number, record.start, record.end, (sessions, []), record.start != end
                )
            run.last, run.end, last, end = record.number, record.end, record, record.end
            tally = decode_tally(record.payload)
            if tally is not None:
                run.tallies.append((record.start, tally))
    if run is not None and last is not None:
        run.is_before_damage = end_of_slice > end
        yield _ended(run, last)


def _ended(run: _Run, last: Record) -> _Run:
    run.sessions[1].extend(sessions_of(last))
    return run


def _settle(writer_id: str, entry: WriterEntry | None, gaps: list[Gap], runs: list[_Run]) -> tuple[WriterBooks, Counter[str]]:
    """Put together what came of a writer and what waits; with it, the counts that wait."""
    done = Position(0, 0) if entry is None else Position(entry.segment, entry.end_offset)
    numbering = Numbering(0 if entry is None else entry.next_number, gaps)
    writer = WriterBooks(writer_id, shipped=0 if entry is None else entry.records, is_here=bool(runs))
    writer.is_finished = entry is not None and entry.finished_at is not None
    known = numbering.next_number - sum(gap.numbers for gap in gaps) - writer.shipped
    writer.unnamed, writer.repeated = max(known, 0), max(-known, 0)
    counts: Counter[str] = Counter()
    before: _Run | None = None
    for run in runs:
        if (run.segment, run.end) > done:
            writer.waiting += _count_run(numbering, run, before, done)
            counts += sum((tally for offset, tally in run.tallies if (run.segment, offset) >= done), Counter())
        before = run
    writer.numbers, writer.gaps = numbering.next_number, numbering.gaps
    writer.repeated += max(writer.shipped + writer.waiting + writer.missing - writer.numbers - writer.repeated, 0)
    return writer, counts


def _count_run(numbering: Numbering, run: _Run, before: _Run | None, done: Position) -> int:
    """Count a run that waits, or what of it does; how many records that are."""
    first = run.first
    if (run.segment, run.start) < done:  # shipped in part, up to the next number
        first = min(max(first, numbering.next_number), run.last + 1)
    is_after_damage = run.is_after_damage or (before is not None and before.is_before_damage)
    for number in range(first, run.last + 1):
        gap = numbering.count(number, is_after_damage=is_after_damage)
        if gap is not None:
            numbering.name_sessions(gap, [*([] if before is None else before.sessions[1]), *run.sessions[0]])
    return run.last + 1 - first


def _add_finished(books: Books, ledger: Ledger) -> None:
    """The gaps and counts of writers that are summed up by now."""
    finished = next((writer for writer in books.writers if writer.writer_id == FINISHED_WRITERS), None)
    for gaps in ledger.gaps.values():
        if finished is not None:
            finished.gaps += gaps
            finished.unnamed -= sum(gap.numbers for gap in gaps)
    for counts in ledger.counts.values():
        books.counts += counts


def _problems(books: Books) -> Iterator[str]:
    for writer in books.writers:
        if writer.unaccounted and writer.writer_id not in books.held:
            yield f"of writer {writer.writer_id} {writer.unaccounted:,} numbers are missing for no known reason{_guess(writer)}"
        if writer.repeated or writer.unnamed < 0:
            yield f"of writer {writer.writer_id} more records came than numbers were given out"
    counted = books.counts["dead_letter"] - books.counts["dead_letter_retried"] - books.counts["dead_letter_discarded"]
    if counted != books.dead_letters:
        yield f"{counted:,} dead letters should be in the database, and {books.dead_letters:,} are"


def _guess(writer: WriterBooks) -> str:
    """What may be behind numbers that are missing from the first one on."""
    lacks_first = any(gap.first == 0 and gap.reason is None for gap in writer.gaps)
    return ", the first ones among them: was another database here before?" if lacks_first else ""


def _unseen(books: Books) -> Iterator[str]:
    untold = sum(writer.unaccounted for writer in books.writers if writer.writer_id in books.held)
    if untold:
        yield f"why {untold:,} numbers of running processes are missing: they tell once a second, or when the database is back"
    elsewhere = sum(not (writer.is_here or writer.is_finished) for writer in books.writers)
    if elsewhere:
        yield (
            f"what {elsewhere:,} of the writers have recorded and not shipped: no file of theirs is here; they are on other "
            "machines, or all of it was shipped"
        )
