"""Appending by processes that live for one record: they share a file, and hold its lock only while they append.

Such a process cannot be asked to ship what it wrote, nor is it worth a segment of its own. Shippers seal an inbox and take it
over like any segment whose writer is gone.
"""

from __future__ import annotations

import os

from turso_hooks.errors import JournalFull, JournalTorn, JournalUnwritable
from turso_hooks.journal.folder import JournalFolder, Segment, new_writer_id
from turso_hooks.journal.framing import HEADER_BYTES, expected_end, frame

_INBOX_BYTES = 256 * 1024
"""At this size the next record begins another inbox, so that finding its number stays quick."""


def append_to_inbox(folder: JournalFolder, payload: bytes, *, max_bytes: int, fsync: bool = False) -> None:
    """Append one record and let go. Raises `JournalFull` or `JournalUnwritable` if it is not kept."""
    if folder.used_bytes() + len(payload) + HEADER_BYTES > max_bytes:
        raise JournalFull(f"the journal for {folder.target} holds {max_bytes} bytes, as many as it may")
    inbox, number = _inbox(folder)
    try:
        record = frame(payload, number, inbox.salt)
        written = os.write(inbox.fd, record)
        if fsync:
            os.fsync(inbox.fd)
    except OSError as error:
        raise JournalUnwritable(f"cannot append to {inbox.path}: {error.strerror}") from error
    finally:
        inbox.close()
    if written != len(record):
        # Nothing may follow the torn record: its number could not be told from those after it.
        folder.seal_inbox(inbox)
        raise JournalTorn(f"cannot append to {inbox.path}: the disk took {written} of {len(record)} bytes")


def _inbox(folder: JournalFolder) -> tuple[Segment, int]:
    """The inbox for the next record, and its number there."""
    inbox = folder.open_inbox()
    if inbox is not None:
        number = _count(inbox) if inbox.size < _INBOX_BYTES else None
        if number is not None:
            return inbox, number
        folder.seal_inbox(inbox)
    return folder.create_inbox(new_writer_id()), 0


def _count(inbox: Segment) -> int | None:
    """How many records an inbox holds, by their headers; None if damage is in the way: a number must not be given twice."""
    count = offset = 0
    while (size := expected_end(os.pread(inbox.fd, HEADER_BYTES, offset), inbox.salt)) is not None:
        count += 1
        offset += size
    return count if offset == inbox.size else None
