"""Under what it is counted: what rows of a session add to each value of each dimension, day and month, as SQL. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from turso_hooks.store.statistics.buckets import packed
from turso_hooks.store.statistics.counted import (
    COUNTERS,
    KEY,
    MODEL_CALL,
    NO_DAY,
    SESSION,
    SESSION_KEY,
    TOOL_CALL,
    TOOL_USE,
    UNPRICED_CALL,
    beginning,
    day_of,
    facts_waiting,
)

SESSION_DIMENSIONS = ("agent_type", "project", "user_id", "runner")
DIMENSIONS = ("all", *SESSION_DIMENSIONS, "model", "provider", "tool")
"""What numbers can be asked by. Of one value of it: what its sessions hold; of `model` and `provider` the calls and messages
that name it, and the rest of those sessions that do; of `tool` its calls."""

STATS_KEY = "dimension, span, period, value, kind, model, provider"
DURATIONS_KEY = "dimension, span, period, value, kind"


CONTRIBUTION = ("day", "kind", "name", "model", "provider", *SESSION_DIMENSIONS, "durations", *COUNTERS)
"""The columns of `stats_changes`, without `sign`."""


def contributions(stats: str, session: Callable[[str], str] = "sessions.{}".format, before: str = "0") -> str:
    """SQL: what rows of `session_stats` add, in the columns of `CONTRIBUTION`.

    `session` gives the SQL of a column of their sessions. Of rows that are to be added to others, `before` is these' count.
    """
    of_session = f"{stats}.kind IN ('{SESSION}', '{TOOL_USE}')"
    is_tool = f"{stats}.kind IN ('{TOOL_CALL}', '{TOOL_USE}')"
    model, provider = (beginning(session(column)) for column in ("model", "provider"))
    values = {
        "day": f"CASE WHEN {of_session} THEN {day_of(session('occurred_ms'))} ELSE {stats}.day END",
        "name": f"CASE WHEN {is_tool} THEN {stats}.name ELSE '' END",
        "model": f"CASE WHEN {is_tool} OR {stats}.name = '' THEN {model} ELSE {stats}.name END",
        "provider": f"CASE WHEN {stats}.provider = '' THEN {provider} ELSE {stats}.provider END",
        **{column: beginning(session(column)) for column in SESSION_DIMENSIONS},
        "count": f"""CASE {stats}.kind WHEN '{TOOL_USE}' THEN ({before} + {stats}.count > 0) - ({before} > 0)
            ELSE {stats}.count END""",
    }
    return ", ".join(f"{values.get(column, f'{stats}.{column}')} AS {column}" for column in CONTRIBUTION)


def brought(sign: int = 1, ids: str | None = None) -> str:
    """SQL: what was brought, under the values that the sessions have; of those of which `ids` is the SQL, if not of all."""
    among = "" if ids is None else f"WHERE session_id IN ({ids})"
    return f"""SELECT {sign} AS sign, {contributions("session_stats")}
        FROM session_stats LEFT JOIN sessions ON sessions.id = session_id {among}"""


def waiting(which: str = "true", ids: str | None = None) -> str:
    """SQL: what waits, in the same way; `which` says which rows of `stats_waiting`."""
    which = which if ids is None else f"{which} AND session_id IN ({ids})"
    return f"""SELECT 1 AS sign, {contributions("fresh", before="coalesce(before.count, 0)")}
        FROM ({packed(facts_waiting(which), SESSION_KEY, COUNTERS)}) AS fresh
        LEFT JOIN sessions ON sessions.id = fresh.session_id
        LEFT JOIN session_stats AS before ON before.kind = '{TOOL_USE}'
        AND {" AND ".join(f"before.{column} = fresh.{column}" for column in KEY)}"""


_VALUE = f"""CASE dimension WHEN 'all' THEN '' WHEN 'tool' THEN name
    {" ".join(f"WHEN '{each}' THEN {each}" for each in DIMENSIONS if each not in {"all", "tool"})} END"""
_PERIOD = f"""CASE WHEN day = {NO_DAY} THEN ''
    ELSE coalesce(strftime(CASE span WHEN 'day' THEN '%Y-%m-%d' ELSE '%Y-%m' END, day * 86400, 'unixepoch'), '') END"""
_OF_DIMENSION = f"""CASE kind WHEN '{TOOL_USE}' THEN dimension = 'tool' WHEN '{TOOL_CALL}' THEN true
    ELSE dimension <> 'tool' END"""


def spread(contributions: str, dimensions: Iterable[tuple[str, str]]) -> str:
    """SQL: signed contributions, each under every dimension and span that is asked for, in the columns of `stats`.

    `model` and `provider` are said where they decide what a call may have cost.
    """
    priced = (f"CASE kind WHEN '{UNPRICED_CALL}' THEN {column} ELSE '' END AS {column}" for column in ("model", "provider"))
    counters = (f"sign * {column} AS {column}" for column in COUNTERS)
    return f"""SELECT dimension, span, {_PERIOD} AS period, {_VALUE} AS value, kind, {", ".join((*priced, *counters))}
        FROM ({contributions}) CROSS JOIN ({_spans(dimensions)}) WHERE {_OF_DIMENSION}"""


def spread_durations(contributions: str, dimensions: Iterable[tuple[str, str]]) -> str:
    """SQL: the same of their durations, each bucket by itself: `DURATIONS_KEY`, `lower_ms` and `count`."""
    kind = f"CASE kind WHEN '{TOOL_CALL}' THEN kind ELSE '{MODEL_CALL}' END"
    return f"""SELECT dimension, span, {_PERIOD} AS period, {_VALUE} AS value, {kind} AS kind, bucket.key AS lower_ms,
        sign * bucket.value AS count
        FROM ({contributions}) AS each CROSS JOIN json_each(each.durations) AS bucket CROSS JOIN ({_spans(dimensions)})
        WHERE each.durations IS NOT NULL AND {_OF_DIMENSION}"""


def _spans(dimensions: Iterable[tuple[str, str]]) -> str:
    return " UNION ALL ".join(f"SELECT '{dimension}' AS dimension, '{span}' AS span" for dimension, span in dimensions)
