"""The question for numbers, in SQL: one statement, so that all of the answer is of one moment. Pure.

What was brought to `stats` and `stats_durations` is summed up with what was not yet. These are of all sessions: with filters
what is counted in `session_stats` of those that are meant is summed up instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from turso_hooks.query.asking import Asked
from turso_hooks.query.filters import Condition
from turso_hooks.query.stats.periods import Days
from turso_hooks.store.counted import COUNTERS, contributions, spread, spread_durations

BY = ("day", "month", "model", "provider", "tool", "agent_type", "project", "user_id", "runner")
"""What numbers can be asked by."""

_KEY = "dimension, value, kind, model, provider, period"

_NO_COUNTERS = ", ".join("0" for _ in COUNTERS)
_FRESH = f"""SELECT * FROM stats_changes UNION ALL
    SELECT 1, {contributions("session_stats")}
    FROM session_stats LEFT JOIN sessions ON sessions.id = session_id WHERE waits = 1"""
_OF_SESSIONS = f"""SELECT 1 AS sign, {contributions("session_stats")}
    FROM sessions JOIN session_stats ON session_id = sessions.id WHERE """


def question(by: str, days: Days, of_sessions: Condition | None) -> Asked:
    """What asks for numbers; `of_sessions` says which sessions are meant, if not all.

    The columns of the answer: dimension, value, kind, model, provider, period, durations as `lower_ms:count` with commas
    between, and the counters.
    """
    dimensions = {"day": ("all",), "month": ("all",), "tool": ("tool", "all")}.get(by, (by,))
    parts = [*_fresh(dimensions, days, of_sessions), *(_stored(dimensions, by, days) if of_sessions is None else ())]
    value = {"day": "period", "month": "substr(period, 1, 7)"}.get(by, "value")
    if by == "tool":
        value = "CASE dimension WHEN 'tool' THEN value ELSE '' END"
    sums = ", ".join(f"sum({column}) AS {column}" for column in COUNTERS)
    # Where a price is to be estimated, it matters when.
    in_buckets = f"""SELECT dimension, {value} AS value, kind, model, provider,
        CASE model WHEN '' THEN '' ELSE substr(period, 1, 7) END AS period, lower_ms, sum(in_bucket) AS in_bucket, {sums}
        FROM ({" UNION ALL ".join(sql for sql, _ in parts)}) GROUP BY 1, 2, 3, 4, 5, 6, 7"""
    sql = f"""SELECT {_KEY}, group_concat(CASE WHEN in_bucket <> 0 THEN lower_ms || ':' || in_bucket END) AS durations, {sums}
        FROM ({in_buckets}) GROUP BY {_KEY}"""
    return sql, [argument for _, arguments in parts for argument in arguments]


def _fresh(dimensions: Sequence[str], days: Days, of_sessions: Condition | None) -> Iterator[Asked]:
    """What is not where it is read yet; with filters all of it."""
    source = _FRESH if of_sessions is None else _OF_SESSIONS + of_sessions.sql
    arguments: list[Any] = [] if of_sessions is None else [*of_sessions.arguments]
    if not days.is_all:
        source = f"SELECT * FROM ({source}) WHERE day BETWEEN ? AND ?"
        arguments += days.numbers
    spans = [(dimension, "day") for dimension in dimensions]
    counters = f"SELECT {_KEY}, NULL AS lower_ms, 0 AS in_bucket, {', '.join(COUNTERS)}"
    yield f"{counters} FROM ({spread(source, spans)})", arguments
    yield (
        f"""SELECT dimension, value, kind, '', '', period, lower_ms, count, {_NO_COUNTERS}
        FROM ({spread_durations(source, spans)})""",
        arguments,
    )


def _stored(dimensions: Sequence[str], by: str, days: Days) -> Iterator[Asked]:
    for dimension in dimensions:
        for period in days.as_days() if by == "day" else days.as_months():
            arguments = (dimension, *period)
            where = "WHERE dimension = ? AND span = ? AND period BETWEEN ? AND ?"
            yield f"SELECT {_KEY}, NULL, 0, {', '.join(COUNTERS)} FROM stats {where}", arguments
            yield (
                f"SELECT dimension, value, kind, '', '', period, lower_ms, count, {_NO_COUNTERS} FROM stats_durations {where}",
                arguments,
            )
