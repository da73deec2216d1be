"""From the journal to the database: a thread that never lets the agent wait.

`pipeline` is the whole of it for one process: the journal writer, the counts, and the worker. `worker` is the thread,
`shipper` what it does, `sizing` how much of it at once, `backoff` the pause after a failure, `counts` what was not kept, by
reason, `contact` when the database was last reached. `state` puts all that together for people.
"""

from __future__ import annotations

from turso_hooks.shipping.counts import Counts, warn_once
from turso_hooks.shipping.pipeline import FlushResult, Pipeline
from turso_hooks.shipping.shipper import Shipper
from turso_hooks.shipping.state import KEPT_OTHERWISE, NO_EVENTS, TargetState, WriterState, read_state

__all__ = [
    "KEPT_OTHERWISE",
    "NO_EVENTS",
    "Counts",
    "FlushResult",
    "Pipeline",
    "Shipper",
    "TargetState",
    "WriterState",
    "read_state",
    "warn_once",
]
