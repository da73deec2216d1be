"""Getting records back from a segment, a slice at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass

from turso_hooks.journal.folder import Segment
from turso_hooks.journal.framing import HEADER_BYTES, Record, expected_end, number_in, scan

SLICE_BYTES = 1024 * 1024
"""How much is read at once by default; a record that is longer is read whole."""


@dataclass(frozen=True)
class Slice:
    """Some records of a segment, in order, how many stretches of it are damaged, and up to which offset it is accounted for."""

    records: list[Record]
    """Their `start` and `end` are offsets in the segment."""
    damages: int
    end: int
    is_exhausted: bool
    """There is nothing more to be had from the segment at this moment."""
    is_last: bool
    """Nor will there ever be: it was closed for appending before it was read, and all of it is accounted for."""


def read_slice(segment: Segment, offset: int, *, max_records: int, max_bytes: int = SLICE_BYTES) -> Slice:
    """Read up to `max_records` records from `offset` on, in all up to `max_bytes` bytes unless the first is longer.

    An unfinished record at the end of a growing segment waits.
    """
    # Asked before reading: a segment that is appended to and closed in the meantime must not pass for read to its end.
    is_final = segment.is_final
    data = os.pread(segment.fd, max_bytes, offset)
    whole = expected_end(data, segment.salt)
    if whole is not None and whole > len(data) == max_bytes:
        data = os.pread(segment.fd, whole + HEADER_BYTES, offset)
    is_at_end = offset + len(data) >= segment.length()
    found = scan(data, segment.salt, is_final=is_final and is_at_end, max_records=max_records, offset=offset)
    is_whole = found.end == offset + len(data)
    is_exhausted = is_at_end and (is_whole or len(found.records) < max_records)
    return Slice(found.records, found.damages, found.end, is_exhausted, is_final and is_at_end and is_whole)


def read_number(segment: Segment, offset: int) -> int | None:
    """The number of the record that begins at `offset`; None if none does."""
    return number_in(os.pread(segment.fd, HEADER_BYTES, offset), segment.salt)
