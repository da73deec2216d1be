"""Having records written: as one batch, or as less than that where one is refused, too much, or without an answer.

What cannot be read as an event, and the row that the database refuses (found by halving its batch), become dead letters, in the
same way and the same order. An event that is larger than a request to the server may be is cut, as one that is larger than the
settings allow, and counted with those.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from turso_hooks.drivers import Database
from turso_hooks.errors import DatabaseError, DatabaseUnavailable, DatabaseUnusable, RequestTooLarge, RowRefused
from turso_hooks.journal import Record
from turso_hooks.shipping.batches import batch_of, bytes_of, cut, set_aside
from turso_hooks.shipping.counts import warn_once
from turso_hooks.shipping.sizing import SMALLEST_BYTES, BatchSize
from turso_hooks.shipping.source import Source
from turso_hooks.store import Batch, Position, Standing, write_batch

_STUCK = 5
"""A record that had no answer so often in a row, alone, may be in everybody's way for ever."""

_LARGE_BYTES = 64 * 1024
"""What is smaller gets through whatever lets anything through."""


class Delivery:
    """Writes records into `database`, and moves their source; `written` is told of each batch. Raises `DatabaseError`.

    `size` learns from it how much to do at once. `is_beside_agent` says that other threads are not to wait.
    """

    def __init__(
        self,
        database: Database,
        size: BatchSize,
        written: Callable[[Source, Batch], object],
        *,
        is_beside_agent: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._size = size
        self._written = written
        self._is_beside_agent = is_beside_agent
        self._now = now

    def deliver(self, source: Source, records: Sequence[Record], end: Position, counts: Counter[str]) -> None:
        """Write records that come next, up to `end`, with `counts`. Raises `PositionMoved` if somebody else was here."""
        is_stuck = source.unanswered >= _STUCK and len(records) == 1 and bytes_of(records) >= _LARGE_BYTES
        try:
            if is_stuck:
                self._probe(source, end)
                self._write_smaller(source, records, end, counts)
            else:
                self._write(source, records, end, counts)
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
        tried_bytes = bytes_of(records) >> max(source.halvings - 2, 0)
        if source.halvings == 1 or tried_bytes <= SMALLEST_BYTES:
            source.halvings = 1
            self._write(source, records, end, counts)
        else:
            self._write_alone(source, records[0], end, counts, self._too_large(records), tried_bytes)

    def _too_large(self, records: Sequence[Record]) -> RequestTooLarge:
        return RequestTooLarge(
            "write a batch",
            self._database.name,
            f"no answer comes to a request with an event of {bytes_of(records):,} bytes, and to small ones it does",
            "give it more time: TURSO_HOOKS_REQUEST_TIMEOUT_S",
        )

    def _write(self, source: Source, records: Sequence[Record], end: Position, counts: Counter[str]) -> None:
        """Write records as one batch; if a row is refused, or all together are too much, as two, down to the one it is."""
        try:
            self._commit(source, self._batch(source, records, end, counts), records)
        except (RowRefused, RequestTooLarge) as refusal:
            if isinstance(refusal, RequestTooLarge):
                self._size.was_too_large(bytes_of(records))
            if len(records) > 1:
                middle = len(records) // 2
                self._write(source, records[:middle], Position(end.segment, records[middle - 1].end), Counter())
                self._write(source, records[middle:], end, counts)
            elif records:
                self._write_alone(source, records[0], end, counts, refusal, bytes_of(records))
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
                kept = cut(record, size_bytes)
            else:
                raise DatabaseUnusable(refusal.operation, refusal.target, refusal.problem, refusal.remedy) from refusal
            counted = counts if kept is record else counts + Counter(cut=1)
            try:
                if reason is None:
                    self._commit(source, self._batch(source, [kept], end, counted), [kept])
                else:
                    self._commit(source, set_aside(source, kept, end, counted, reason), [kept])
            except (RowRefused, RequestTooLarge) as again:
                refusal = again
            else:
                return

    def _commit(self, source: Source, batch: Batch, records: Sequence[Record]) -> None:
        began, size_bytes = time.monotonic(), bytes_of(records)
        try:
            write_batch(self._database, batch, self._now())
        except DatabaseUnavailable:
            self._size.failed(time.monotonic() - began, batch.records, size_bytes)
            raise
        self._size.took(time.monotonic() - began, batch.records, size_bytes)
        source.move_to(batch.end, records, batch.rows[-1].session_id if batch.rows else None)
        self._written(source, batch)

    def _batch(self, source: Source, records: Sequence[Record], end: Position, counts: Counter[str]) -> Batch:
        return batch_of(source, records, end, counts, is_beside_agent=self._is_beside_agent)
