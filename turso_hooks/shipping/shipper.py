"""Shipping, a batch at a time: read records, make a batch, write it, move on. No thread, no clock of its own.

A writer's records are shipped in order, one batch after the other, each a transaction that moves the writer's position. A
segment is deleted only once the position says that all of it is in the database. What cannot be read as an event, and the row
that the database refuses (found by halving its batch), become dead letters, in the same way and the same order. An event that
is larger than a request to the server may be is cut, as one is that is larger than the settings allow, and counted with those.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from turso_hooks.drivers import Database
from turso_hooks.errors import (
    DatabaseError,
    DatabaseUnavailable,
    DatabaseUnusable,
    EventError,
    PositionMoved,
    RequestTooLarge,
    RowRefused,
    describe,
)
from turso_hooks.events import decode, encode_cut, utc_now
from turso_hooks.journal import SLICE_BYTES, JournalFolder, Record, Segment, Slice, Writer, read_number, read_slice
from turso_hooks.shipping.contact import ContactLog
from turso_hooks.shipping.counts import decode_tally, warn_once
from turso_hooks.shipping.sizing import SMALLEST_BYTES, BatchSize
from turso_hooks.shipping.source import Source
from turso_hooks.shipping.upkeep import Upkeep
from turso_hooks.store import (
    Batch,
    DeadLetter,
    Position,
    Row,
    Standing,
    finish_writer,
    prepare_schema,
    read_standing,
    row_of,
    write_batch,
)

_YIELD_EVERY = 64
"""Records between two offers to let other threads run; some 200 us of work."""


_MOST_MOVES = 3
"""Who finds a position moved so often in a row shall pause: something is odd about the database, and asking is not free."""

_STUCK = 5
"""A record that had no answer so often in a row, alone, may be in everybody's way for ever."""

_LARGE_BYTES = 64 * 1024
"""What is smaller gets through whatever lets anything through."""


@dataclass
class Shipped:
    """What a shipper has done so far."""

    records: int = 0
    """Records taken from the journal, whatever became of them."""
    own_records: int = 0
    """Those among them of this process's own writer."""
    events: int = 0
    dead_letters: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class Shipper:
    """Ships the journal in `folder` into `database`: the segments of `writer`, if there is one, and those without a writer.

    To be used by one thread. Every method raises `DatabaseError` as it comes, and may be called again: nothing is lost or
    done twice by that.
    """

    def __init__(  # noqa: PLR0913  # by name
        self,
        database: Database,
        folder: JournalFolder,
        *,
        writer: Writer | None = None,
        batch_events: int = 1000,
        search_index: bool = True,
        retention_days: int = 0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.shipped = Shipped()
        self._database = database
        self._folder = folder
        self._writer = writer
        self._size = BatchSize(batch_events, SLICE_BYTES)
        self._now = now
        self._contact = ContactLog(folder)
        self._own = None if writer is None else Source(writer.writer_id)
        self._adopted: dict[str, Source] = {}
        self._is_prepared = False
        self._upkeep = Upkeep(database, search_index=search_index, retention_days=retention_days, now=now)

    @property
    def own_position(self) -> tuple[int, int]:
        """How far this process's own records are in the database: number and offset of a segment."""
        position = None if self._own is None else self._own.standing.position
        return (0, 0) if position is None else (position.segment, position.offset)

    def prepare(self) -> None:
        """See to the schema: the first time, and again when something says that it may be another one."""
        if not self._is_prepared:
            prepare_schema(self._database)
            self._is_prepared = True

    def ship_own(self) -> bool:
        """Ship one batch of this process's records; False if there was nothing to ship."""
        if self._writer is None or self._own is None:
            return False
        self._own.segments = self._writer.segments()
        with self._failures_told():
            self.prepare()
            is_shipped = self._ship(self._own, self._writer.discard)
        self._upkeep.do_if_due()
        return is_shipped

    def adopt(self) -> int:
        """Take over segments that have lost their writer; the number of those that are held now."""
        own = [] if self._own is None else [self._own.writer_id]
        for segment in self._folder.adopt(without=[*own, *self._adopted]):
            source = self._adopted.setdefault(segment.writer_id, Source(segment.writer_id))
            source.segments.append(segment)
        return sum(len(source.segments) for source in self._adopted.values())

    def ship_adopted(self) -> bool:
        """Ship one batch of a writer that is gone; False if there was nothing to ship."""
        with self._failures_told():
            for writer_id, source in list(self._adopted.items()):
                self.prepare()
                try:
                    if self._ship(source, _remover(source)):
                        self._upkeep.do_if_due()
                        return True
                except DatabaseError:  # the next attempt begins with another one: this may concern this one alone
                    self._adopted[writer_id] = self._adopted.pop(writer_id)
                    raise
                finish_writer(self._database, writer_id, self._now())
                self._contact.reached()
                del self._adopted[writer_id]
        return False

    def upkeep_rest(self) -> None:
        """Make what was shipped quick to read, if nothing is in the way."""
        self._upkeep.do_rest()

    def finish_own(self) -> None:
        """Note that this process's writer is done, if all of its records are in the database."""
        if self._own is not None and self._writer is not None and not self._writer.segments() and self._own.standing.position:
            finish_writer(self._database, self._own.writer_id, self._now())

    def close(self) -> None:
        """Let go of the journal and of the database; what was not shipped is there for the next shipper."""
        if self._writer is not None:
            self._writer.close()
        for source in self._adopted.values():
            for segment in source.segments:
                segment.close()
        self._adopted.clear()
        self._database.close()

    def note_failed(self, problem: str) -> None:
        """Tell that something is in the way that was not waited for."""
        self._contact.failed(problem)

    def note_reached(self) -> None:
        """Tell that nothing is in the way any more, though there was nothing left to ship that would have told it."""
        self._contact.reached()

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            self._contact.failed(str(error))
            self._look_again(is_other=not isinstance(error, DatabaseUnavailable))
            raise

    def _look_again(self, *, is_other: bool) -> None:
        """After a failure: the batch may have landed, and somebody else may have been here.

        A database of another make says so when it is written to. Asking each time would take requests, and where every
        third is lost as many as never to get to the batch.
        """
        self._is_prepared = self._is_prepared and not is_other
        for source in self._sources():
            source.is_standing_known = False

    def _sources(self) -> list[Source]:
        return [*([] if self._own is None else [self._own]), *self._adopted.values()]

    def _ship(self, source: Source, discard: Callable[[Segment], bool]) -> bool:
        """Ship the next batch of a source, discarding segments that are wholly in the database."""
        self._find_standing(source)
        stuck: OSError | None = None
        for segment in list(source.segments):
            if not source.is_behind(segment):
                offset = source.offset_in(segment)
                if not self._is_as_shipped(source, segment, offset):
                    self._ship_cut(source, segment)
                    return True
                found = self._read(segment, offset)
                if found.end > offset:
                    damaged = Counter(damaged=found.damages) if found.damages else Counter[str]()
                    self._try(source, found.records, Position(segment.index, found.end), damaged)
                    return True
                if not found.is_last:
                    return False
            try:
                if not discard(segment):
                    return True
            except OSError as error:  # what is in it is in the database, and what comes after it must not wait
                stuck = error
        if stuck is not None:
            raise stuck
        return False

    def _read(self, segment: Segment, offset: int) -> Slice:
        return read_slice(segment, offset, max_records=self._size.records, max_bytes=self._size.bytes)

    def _is_as_shipped(self, source: Source, segment: Segment, offset: int) -> bool:
        """Whether what lies before `offset` is what was shipped from there, rather than what followed after a cut."""
        if segment.length() < offset:
            return False
        known = source.landmark
        if known is not None and known.segment == segment.index:
            return read_number(segment, known.start) == known.number
        at = 0  # somebody else shipped it: all of it must be known
        while at < offset:
            found = self._read(segment, at)
            if any(record.start < offset for record in source.new_among(found.records)):
                return False
            if found.end == at:
                break
            at = found.end
        return True

    def _ship_cut(self, source: Source, segment: Segment) -> None:
        """Ship a segment that somebody has cut, however long it is by now: from its first new record on.

        Whatever was appended since comes after all that is known, which is told by its number.
        """
        found = self._read(segment, 0)
        while not (records := source.new_among(found.records)) and not found.is_exhausted:
            found = self._read(segment, found.end)
        self._try(source, records, Position(segment.index, found.end), Counter(damaged=1 + found.damages))

    def _find_standing(self, source: Source) -> None:
        if not source.is_standing_known:
            source.standing = read_standing(self._database, source.writer_id)
            source.is_standing_known = True

    def _try(self, source: Source, records: Sequence[Record], end: Position, counts: Counter[str]) -> None:
        """Write records, unless somebody else was here: then the position is asked for again."""
        is_stuck = source.unanswered >= _STUCK and len(records) == 1 and _bytes_of(records) >= _LARGE_BYTES
        try:
            if is_stuck:
                self._probe(source, end)
                self._write_smaller(source, records, end, counts)
            else:
                self._write(source, records, end, counts)
        except PositionMoved as moved:
            source.is_standing_known = False
            self._is_prepared = False  # a newer schema refuses batches in the same way
            source.moves += 1
            if source.moves > _MOST_MOVES:
                raise DatabaseUnavailable(moved.operation, moved.target, moved.problem) from moved
        except DatabaseUnavailable as error:
            if error.is_unanswered and len(records) == 1:
                source.unanswered += 1
            else:
                source.unanswered = source.halvings = 0
            raise

    def _probe(self, source: Source, end: Position) -> None:
        """See whether a small request of the same kind has an answer, where a large one had none several times.

        If it has, the large one is too much for the line in the time there is, or something on the way breaks off and does not
        say why. If it has not, nothing is known of the large one.
        """
        standing = Standing(source.standing.position or Position(end.segment, 0), source.standing.numbering)
        try:
            write_batch(self._database, Batch(source.writer_id, source.standing, standing, [], 0), self._now())
        except DatabaseUnavailable:
            source.unanswered = source.halvings = 0
            raise
        source.standing = standing

    def _write_smaller(self, source: Source, records: Sequence[Record], end: Position, counts: Counter[str]) -> None:
        """Write a large record: the first time as it is, and each time that has no answer half of what it was before."""
        source.halvings += 1
        tried_bytes = _bytes_of(records) >> max(source.halvings - 2, 0)
        if source.halvings == 1 or tried_bytes <= SMALLEST_BYTES:
            source.halvings = 1
            self._write(source, records, end, counts)
        else:
            self._write_alone(source, records[0], end, counts, self._too_large(records), tried_bytes)

    def _too_large(self, records: Sequence[Record]) -> RequestTooLarge:
        return RequestTooLarge(
            "write a batch",
            self._database.name,
            f"no answer comes to a request with an event of {_bytes_of(records):,} bytes, and to small ones it does",
            "give it more time: TURSO_HOOKS_REQUEST_TIMEOUT_S",
        )

    def _write(self, source: Source, records: Sequence[Record], end: Position, counts: Counter[str]) -> None:
        """Write records as one batch; if a row is refused, or all together are too much, as two, down to the one it is."""
        try:
            self._commit(source, self._batch(source, records, end, counts), records)
        except (RowRefused, RequestTooLarge) as refusal:
            if isinstance(refusal, RequestTooLarge):
                self._size.was_too_large(_bytes_of(records))
            if len(records) > 1:
                middle = len(records) // 2
                self._write(source, records[:middle], Position(end.segment, records[middle - 1].end), Counter())
                self._write(source, records[middle:], end, counts)
            elif records:
                self._write_alone(source, records[0], end, counts, refusal, _bytes_of(records))
            else:
                raise DatabaseUnusable(refusal.operation, refusal.target, refusal.problem) from refusal

    def _write_alone(  # noqa: PLR0913, PLR0917  # a batch of one, and what became of it
        self,
        source: Source,
        record: Record,
        end: Position,
        counts: Counter[str],
        refusal: DatabaseError,
        size_bytes: int,
    ) -> None:
        """Write a record that is not taken as it is, nor cut to `size_bytes`.

        What is refused is set aside as a dead letter, what is too large is cut further, or both.
        """
        kept, reason = record, None
        while True:
            if isinstance(refusal, RowRefused) and reason is None:
                reason = refusal.problem
            elif isinstance(refusal, RequestTooLarge) and size_bytes > SMALLEST_BYTES:
                warn_once(f"too-large:{refusal.problem}", "%s. Until then larger events are cut, and counted.", refusal)
                size_bytes = max(size_bytes // 2, SMALLEST_BYTES)
                kept = record._replace(payload=_cut(record.payload, size_bytes))
            else:
                raise DatabaseUnusable(refusal.operation, refusal.target, refusal.problem, refusal.remedy) from refusal
            counted = counts if kept is record else counts + Counter(cut=1)
            try:
                if reason is None:
                    self._commit(source, self._batch(source, [kept], end, counted), [kept])
                else:
                    self._commit(source, self._set_aside(source, kept, end, counted, reason), [kept])
            except (RowRefused, RequestTooLarge) as again:
                refusal = again
            else:
                return

    def _commit(self, source: Source, batch: Batch, records: Sequence[Record]) -> None:
        began, size_bytes = time.monotonic(), _bytes_of(records)
        try:
            write_batch(self._database, batch, self._now())
        except DatabaseUnavailable:
            self._size.failed(time.monotonic() - began, batch.records, size_bytes)
            raise
        self._size.took(time.monotonic() - began, batch.records, size_bytes)
        self._contact.reached()
        source.move_to(batch.end, records, batch.rows[-1].session_id if batch.rows else None)
        self.shipped.records += batch.records
        self.shipped.own_records += batch.records if source is self._own else 0
        self.shipped.events += len(batch.rows)
        self._upkeep.note(len(batch.rows))
        self.shipped.dead_letters += len(batch.dead_letters)
        self.shipped.counts += batch.counts

    def _batch(self, source: Source, records: Sequence[Record], end: Position, counts: Counter[str]) -> Batch:
        rows: list[Row] = []
        letters: list[DeadLetter] = []
        counts = Counter(counts)
        for n, record in enumerate(records, start=1):
            tally = decode_tally(record.payload)
            if tally is not None:
                counts += tally
                continue
            try:
                rows.append(row_of(decode(record.payload)))
            except Exception as error:  # noqa: BLE001  # whatever a record does to us, the ones after it must not wait for ever
                letters.append(_dead_letter(record, end, describe(error)))
            if n % _YIELD_EVERY == 0 and self._writer is not None:
                time.sleep(0)  # lets a waiting thread of the agent run at once, not after the switch interval of 5 ms
        return self._sealed(source, records, end, rows, letters, counts)

    def _set_aside(self, source: Source, record: Record, end: Position, counts: Counter[str], problem: str) -> Batch:
        return self._sealed(source, [record], end, [], [_dead_letter(record, end, problem)], counts)

    @staticmethod
    def _sealed(  # noqa: PLR0913, PLR0917  # the parts of a batch
        source: Source,
        records: Sequence[Record],
        end: Position,
        rows: list[Row],
        letters: list[DeadLetter],
        counts: Counter[str],
    ) -> Batch:
        if letters:
            counts = counts + Counter(dead_letter=len(letters))
        return Batch(
            writer_id=source.writer_id,
            begin=source.standing,
            end=source.standing_after(records, end),
            rows=rows,
            records=len(records),
            dead_letters=letters,
            counts=counts,
        )


def _bytes_of(records: Sequence[Record]) -> int:
    return sum(len(record.payload) for record in records)


def _cut(payload: bytes, size_bytes: int) -> bytes:
    try:
        return encode_cut(decode(payload), size_bytes)
    except EventError:  # it becomes a dead letter, of which the beginning is better than nothing
        return payload[:size_bytes]


def _dead_letter(record: Record, end: Position, reason: str) -> DeadLetter:
    return DeadLetter(record.number, Position(end.segment, record.start), record.payload, reason)


def _remover(source: Source) -> Callable[[Segment], bool]:
    def remove(segment: Segment) -> bool:
        segment.remove()  # first: a writer whose file is still there is not finished
        source.segments.remove(segment)
        return True

    return remove
