"""Records to batches: rows, dead letters, counts, and where the writer stands with them. Pure; others may run meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from turso_hooks.errors import EventError, describe
from turso_hooks.events import decode, encode_cut
from turso_hooks.journal import Record
from turso_hooks.shipping.counts import decode_tally
from turso_hooks.shipping.source import Source
from turso_hooks.store import Batch, DeadLetter, Position, Row, row_of

_YIELD_EVERY = 64
"""Records between two offers to let other threads run; some 200 us of work."""


def batch_of(
    source: Source, records: Sequence[Record], end: Position, counts: Counter[str], *, is_beside_agent: bool = False
) -> Batch:
    """What records become that come next, up to `end`, with `counts`.

    `is_beside_agent` says that other threads of the process are not to wait for it.
    """
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
        if n % _YIELD_EVERY == 0 and is_beside_agent:
            time.sleep(0)  # lets a waiting thread of the agent run at once, not after the switch interval of 5 ms
    return _sealed(source, records, end, rows, letters, counts)


def set_aside(source: Source, record: Record, end: Position, counts: Counter[str], problem: str) -> Batch:
    """The batch that keeps a record as a dead letter."""
    return _sealed(source, [record], end, [], [_dead_letter(record, end, problem)], counts)


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


def bytes_of(records: Sequence[Record]) -> int:
    """How large records are together."""
    return sum(len(record.payload) for record in records)


def cut(record: Record, size_bytes: int) -> Record:
    """A record with its values cut, so that it is no larger than that."""
    try:
        return record._replace(payload=encode_cut(decode(record.payload), size_bytes))
    except EventError:  # it becomes a dead letter, of which the beginning is better than nothing
        return record._replace(payload=record.payload[:size_bytes])


def _dead_letter(record: Record, end: Position, reason: str) -> DeadLetter:
    return DeadLetter(record.number, Position(end.segment, record.start), record.payload, reason)
