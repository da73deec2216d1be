"""One writer as a shipper sees it: its segments, how far they are in the database, and which of its numbers came. Pure.

Gaps in the numbers are named here: which numbers, whether the journal was damaged there, and between which sessions' records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from turso_hooks.errors import EventError
from turso_hooks.events import decode
from turso_hooks.journal import Record, Segment
from turso_hooks.store import Numbering, Position, Standing


class Landmark(NamedTuple):
    """A record that was shipped, by which a segment is known again: one that was cut and has grown has another there."""

    segment: int
    start: int
    number: int


@dataclass
class Source:
    """The segments of one writer, in order, and what the database knows of it."""

    writer_id: str
    segments: list[Segment] = field(default_factory=list)
    standing: Standing = field(default_factory=lambda: Standing(None, Numbering()))
    is_standing_known: bool = False
    moves: int = 0
    """How often in a row another one had moved it."""
    unanswered: int = 0
    """How often in a row a batch of one and the same record had no answer."""
    halvings: int = 0
    """How often it was halved since, as small requests have an answer; 1 is the whole of it once more."""
    landmark: Landmark | None = None
    """The last record that was shipped here."""
    _last_session: str | None = None
    """The session of the last event that was shipped here."""
    _has_passed_damage: bool = False
    """What was read last ended in damage: a gap before the next record is its."""

    def offset_in(self, segment: Segment) -> int:
        """How much of a segment is in the database, as far as it is one that is not left behind."""
        done = self.standing.position
        return done.offset if done is not None and done.segment == segment.index else 0

    def is_behind(self, segment: Segment) -> bool:
        """Whether all of a segment is in the database, by its number."""
        done = self.standing.position
        return done is not None and segment.index < done.segment

    def new_among(self, records: Sequence[Record]) -> Sequence[Record]:
        """Those of the records whose numbers have not come yet, for one who reads a file again."""
        return [record for record in records if not self.standing.numbering.has(record.number)]

    def standing_after(self, records: Sequence[Record], end: Position) -> Standing:
        """Where the writer stands once `records`, which come next, are in the database up to `end`."""
        begin = self.standing.position
        return Standing(
            end,
            count_off(
                self.standing.numbering,
                records,
                offset=begin.offset if begin is not None and begin.segment == end.segment else 0,
                session=self._last_session,
                is_after_damage=self._has_passed_damage,
            ),
        )

    def move_to(self, standing: Standing, records: Sequence[Record], session: str | None) -> None:
        """Note that `records` are in the database, the last event among them one of `session`."""
        assert standing.position is not None
        self.standing = standing
        self.landmark = Landmark(standing.position.segment, records[-1].start, records[-1].number) if records else None
        self.moves = self.unanswered = self.halvings = 0
        self._last_session = session or self._last_session
        self._has_passed_damage = not records or standing.position.offset > records[-1].end


def count_off(
    numbering: Numbering, records: Sequence[Record], *, offset: int, session: str | None = None, is_after_damage: bool = False
) -> Numbering:
    """The numbering after records that come next: they begin at `offset` of their file, unless damage comes first.

    `session` is that of the event before them, and `is_after_damage` says that damage lies between.
    """
    counted = numbering.copy()
    for n, record in enumerate(records):
        gap = counted.count(record.number, is_after_damage=is_after_damage or record.start != offset)
        if gap is not None:
            before = sessions_of(records[n - 1]) if n else iter([session] if session else [])
            counted.name_sessions(gap, [*before, *sessions_of(record)])
        offset, is_after_damage = record.end, False
    return counted


def sessions_of(record: Record) -> Iterator[str]:
    """The session of a record, if it is an event."""
    try:
        yield decode(record.payload).session_id
    except EventError:  # a tally, or what becomes a dead letter
        return
