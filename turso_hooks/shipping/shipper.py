"""Shipping, a batch at a time: read records, make a batch, write it, move on. No thread, no clock of its own.

A writer's records are shipped in order, one batch after the other, each a transaction that moves the writer's position. A
segment is deleted only once the position says that all of it is in the database. What cannot be read as an event, and the row
that the database refuses (found by halving its batch), become dead letters, in the same way and the same order. An event that
is larger than a request to the server may be is cut, as one is that is larger than the settings allow, and counted with those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from turso_hooks.drivers import Database
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, PositionMoved
from turso_hooks.events import utc_now
from turso_hooks.journal import SLICE_BYTES, JournalFolder, Record, Segment, Slice, Writer, read_number, read_slice
from turso_hooks.shipping.contact import ContactLog
from turso_hooks.shipping.delivery import Delivery
from turso_hooks.shipping.sizing import BatchSize
from turso_hooks.shipping.source import Source
from turso_hooks.shipping.upkeep import Upkeep
from turso_hooks.store import Batch, Position, finish_writer, prepare_schema, read_standing

_MOST_MOVES = 3
"""Who finds a position moved so often in a row shall pause: something is odd about the database, and asking is not free."""


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
        self._delivery = Delivery(database, self._size, self._note_written, is_beside_agent=writer is not None, now=now)
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
        try:
            self._delivery.deliver(source, records, end, counts)
        except PositionMoved as moved:
            source.is_standing_known = False
            self._is_prepared = False  # a newer schema refuses batches in the same way
            source.moves += 1
            if source.moves > _MOST_MOVES:
                raise DatabaseUnavailable(moved.operation, moved.target, moved.problem) from moved

    def _note_written(self, source: Source, batch: Batch) -> None:
        self._contact.reached()
        self.shipped.records += batch.records
        self.shipped.own_records += batch.records if source is self._own else 0
        self.shipped.events += len(batch.rows)
        self._upkeep.note(len(batch.rows))
        self.shipped.dead_letters += len(batch.dead_letters)
        self.shipped.counts += batch.counts


def _remover(source: Source) -> Callable[[Segment], bool]:
    def remove(segment: Segment) -> bool:
        segment.remove()  # first: a writer whose file is still there is not finished
        source.segments.remove(segment)
        return True

    return remove
