"""From the journal to the database: a thread that never lets the agent wait.

`pipeline` is the whole of it for one process: the journal writer, the counts, and the worker. `worker` is the thread,
`shipper` what it does, `backoff` the pause after a failure, `counts` what was not kept, by reason.
"""

from __future__ import annotations

from turso_hooks.shipping.counts import Counts, warn_once
from turso_hooks.shipping.pipeline import FlushResult, Pipeline
from turso_hooks.shipping.shipper import Shipper

__all__ = ["Counts", "FlushResult", "Pipeline", "Shipper", "warn_once"]
