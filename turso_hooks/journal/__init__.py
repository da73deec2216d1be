"""The journal: what was recorded and is not yet in the database, in append-only files that survive the process.

One folder a database, one writer a process, a writer's records in segments. The bytes of a record are none of its business.

`framing` owns the format of a record, `folder` names, rights and locks of the files, `writer` appending, `reading` getting
records back, `inspection` looking without taking.
"""

from __future__ import annotations

from turso_hooks.journal.folder import JournalFolder, Segment
from turso_hooks.journal.framing import Record
from turso_hooks.journal.inspection import Look, look_into, slices_of
from turso_hooks.journal.reading import SLICE_BYTES, Slice, read_number, read_slice
from turso_hooks.journal.writer import Writer

__all__ = [
    "SLICE_BYTES",
    "JournalFolder",
    "Look",
    "Record",
    "Segment",
    "Slice",
    "Writer",
    "look_into",
    "read_number",
    "read_slice",
    "slices_of",
]
