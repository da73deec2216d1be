"""From the journal to the database: a thread that never lets the agent wait.

`pipeline` is the whole of it for one process: the journal writer, the counts, and the worker. `worker` is the thread,
`shipper` what it does, `source` one writer as it sees it, `batches` what records become, `delivery` has them written, `sizing`
says how much of it at once, `backoff` is the pause after a failure, `upkeep` what is done between batches. `counts` is what was
not kept, by reason, `contact` when the database was last reached. `state` puts all that together for people, and `books` says
whether it adds up.
"""

from __future__ import annotations

from turso_hooks.shipping.books import Books, WriterBooks, read_books
from turso_hooks.shipping.counts import KEPT_OTHERWISE, NO_EVENTS, REFUSED, Counts, warn_once
from turso_hooks.shipping.pipeline import FlushResult, Pipeline
from turso_hooks.shipping.shipper import Shipper
from turso_hooks.shipping.state import TargetState, WriterState, read_state

__all__ = [
    "KEPT_OTHERWISE",
    "NO_EVENTS",
    "REFUSED",
    "Books",
    "Counts",
    "FlushResult",
    "Pipeline",
    "Shipper",
    "TargetState",
    "WriterBooks",
    "WriterState",
    "read_books",
    "read_state",
    "warn_once",
]
