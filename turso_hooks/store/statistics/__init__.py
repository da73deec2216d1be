"""Statistics: what is counted, under what, how it comes to where it is read, and whether it is right.

Triggers only note what they see: whoever writes, each row that comes is in `stats_waiting` with the sign 1, one that goes with
-1, one that changes with both. So they cost little, hold nothing that could fail, and what is noted is right at once, whatever
is changed or deleted. It waits there until it is brought to where it is read:

- `stats` and `stats_durations`: a row for each value of each dimension and each day and month, however many sessions there are.
- `session_stats`: the same numbers of each session: a row for each day (UTC), kind of thing and name.

Where a session gets another project, say, what was brought has to go from one value to the other: a trigger notes that in
`stats_changes`, for each row of `session_stats` once to be taken away and once to be added. So at any time

    session_stats + stats_waiting                   =  what a full count would give
    stats + stats_changes                           =  session_stats, under the values that the sessions have
    stats + stats_changes + what waits, under them  =  what is read

and what brings them together (`rollups`) may come when it likes.

A session whose rows were there before the triggers is in `stats_uncounted` until `rollups` has counted it.

`counted` says which rows count as what, `buckets` how durations do, `spreading` under which values. `tables` has the tables and
the triggers that note, `rollups` does the bringing, `checking` compares with a full count.
"""

from __future__ import annotations

from turso_hooks.store.statistics.buckets import in_bucket, packed
from turso_hooks.store.statistics.checking import differences
from turso_hooks.store.statistics.counted import (
    COUNTERS,
    EVERY_SESSION,
    MESSAGE,
    MODEL_CALL,
    SESSION,
    TOOL_CALL,
    TOOL_USE,
    UNPRICED_CALL,
)
from turso_hooks.store.statistics.rollups import Rollups
from turso_hooks.store.statistics.spreading import brought, spread, spread_durations, waiting
from turso_hooks.store.statistics.tables import STATS_TABLES, STATS_TRIGGERS

__all__ = [
    "COUNTERS",
    "EVERY_SESSION",
    "MESSAGE",
    "MODEL_CALL",
    "SESSION",
    "STATS_TABLES",
    "STATS_TRIGGERS",
    "TOOL_CALL",
    "TOOL_USE",
    "UNPRICED_CALL",
    "Rollups",
    "brought",
    "differences",
    "in_bucket",
    "packed",
    "spread",
    "spread_durations",
    "waiting",
]
