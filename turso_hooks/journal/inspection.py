"""Looking into a journal without taking anything from it: which files there are, whether somebody has them, what is in them.

Safe beside running writers and shippers: what is looked at may grow or go away in between. To see whether somebody has a file
its lock is asked for, and let go at once; a shipper that looks for files without a writer in just that moment passes this one
by until its next look.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from typing import NamedTuple

from turso_hooks.journal.folder import JournalFile, JournalFolder, Segment
from turso_hooks.journal.reading import Slice, read_slice

_AT_ONCE = 1000
"""Records read at once."""


class Look(NamedTuple):
    """A file of the journal, open for reading as long as the look lasts."""

    file: JournalFile
    segment: Segment
    is_held: bool
    """Somebody has it: its writer, or a shipper that has taken it over."""


def look_into(folder: JournalFolder) -> Iterator[Look]:
    """One file after the other, each closed when the next is asked for. What cannot be opened is noted in `unreadable`."""
    for file in folder.files():
        try:
            fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # shipped in the meantime
            continue
        except OSError:
            folder.unreadable.add(file.path)
            continue
        is_held = _is_held(fd)
        segment = Segment(file.path, file.writer_id, file.index, fd, is_final=not is_held)
        segment.size = segment.length()
        try:
            yield Look(file, segment, is_held)
        finally:
            segment.close()


def slices_of(segment: Segment, offset: int = 0) -> Iterator[Slice]:
    """The records of a segment from `offset` on, as far as they are there now."""
    while True:
        found = read_slice(segment, offset, max_records=_AT_ONCE)
        if found.end > offset:
            yield found
        if found.is_exhausted or found.end <= offset:
            return
        offset = found.end


def _is_held(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False
