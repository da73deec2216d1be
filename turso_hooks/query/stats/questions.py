"""The question for numbers, in SQL: one statement, so that all of the answer is of one moment. Pure.

What was brought to `stats` and `stats_durations` is given with what was not yet. These are of all sessions: with filters, what
is counted of those that are meant is given instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from turso_hooks.query.asking import Asked
from turso_hooks.query.filters import Condition
from turso_hooks.query.stats.periods import Days
from turso_hooks.store.statistics import COUNTERS, brought, packed, spread, spread_durations, waiting

BY = ("day", "month", "model", "provider", "tool", "agent_type", "project", "user_id", "runner")
"""What numbers can be asked by."""

_COUNTERS = ", ".join(COUNTERS)
_SUMS = ", ".join(f"sum({column})" for column in COUNTERS)
_NO_COUNTERS = ", ".join("0" for _ in COUNTERS)
_FRESH = f"SELECT * FROM stats_changes UNION ALL {waiting()}"


def question(by: str, days: Days, of_sessions: Condition | None) -> Asked:
    """What asks for numbers; `of_sessions` says which sessions are meant, if not all.

    The columns of the answer, of which there are several rows to be added up for a value: dimension, value, kind, model,
    provider, period, durations as JSON from `lower_ms` to a number, and the counters.
    """
    dimensions = {"day": ("all",), "month": ("all",), "tool": ("tool", "all")}.get(by, (by,))
    value = {"day": "period", "month": "substr(period, 1, 7)"}.get(by, "value")
    counters, durations = _fresh(dimensions, days, of_sessions)
    stored = [] if of_sessions is not None else list(_stored(dimensions, by, days))
    # Where a price is to be estimated, it matters when.
    key = f"dimension, {value} AS value, kind, model, provider, CASE model WHEN '' THEN '' ELSE substr(period, 1, 7) END"
    name = f"SELECT dimension, {value}, kind, '', '', '', durations, {_NO_COUNTERS}"
    parts: list[Asked] = [
        *((f"SELECT {key}, NULL, {_SUMS} FROM stats {sql} GROUP BY 1, 2, 3, 4, 5, 6", arguments) for sql, arguments in stored),
        (f"SELECT {key}, NULL, {_SUMS} FROM ({counters[0]}) GROUP BY 1, 2, 3, 4, 5, 6", counters[1]),
        *((f"{name} FROM stats_durations {sql}", arguments) for sql, arguments in stored),
        (f"{name} FROM ({packed(durations[0], 'dimension, period, value, kind')})", durations[1]),
    ]
    return " UNION ALL ".join(sql for sql, _ in parts), [argument for _, arguments in parts for argument in arguments]


def _fresh(dimensions: Sequence[str], days: Days, of_sessions: Condition | None) -> tuple[Asked, Asked]:
    """Counters and durations that are not where they are read yet; with filters all that are meant."""
    source, arguments = _FRESH, list[Any]()
    if of_sessions is not None:
        ids = f"SELECT id FROM sessions WHERE {of_sessions.sql}"
        source = f"{brought(ids=ids)} UNION ALL {waiting(ids=ids)}"
        arguments = [*of_sessions.arguments] * source.count(ids)
    if not days.is_all:
        source = f"SELECT * FROM ({source}) WHERE day BETWEEN ? AND ?"
        arguments += days.numbers
    spans = [(dimension, "day") for dimension in dimensions]
    return (spread(source, spans), arguments), (spread_durations(source, spans), arguments)


def _stored(dimensions: Sequence[str], by: str, days: Days) -> Iterator[Asked]:
    for dimension in dimensions:
        for period in days.as_days() if by == "day" else days.as_months():
            yield "WHERE dimension = ? AND span = ? AND period BETWEEN ? AND ?", (dimension, *period)
