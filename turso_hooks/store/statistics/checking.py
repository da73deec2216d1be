"""Whether statistics are what a full count gives. Reads all that is counted, some sessions at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from turso_hooks.drivers import Database
from turso_hooks.store.statistics.buckets import packed
from turso_hooks.store.statistics.counted import COUNTERS, KEY, SESSION_KEY, facts, facts_waiting
from turso_hooks.store.statistics.spreading import DIMENSIONS, DURATIONS_KEY, STATS_KEY, brought, spread, spread_durations

_OPERATION = "count everything anew"
_SESSIONS_AT_ONCE = 200
_LOOKS_AT_WAITING = 20
"""How often all that waits is gone through, if it is much."""

_NEXT = "SELECT id FROM sessions WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?"
_HOW_MANY_WAIT = "SELECT count(*) FROM stats_waiting"
_NOTHING = ", ".join("NULL" for _ in (*KEY[1:], "durations", *COUNTERS))


def _both(which: str) -> str:
    """SQL: what is counted of some sessions, and what a count gives; and which of them are not to be compared yet."""
    of_sessions = which.format(id="session_id")
    parts = [
        f"SELECT 1 AS sign, {SESSION_KEY}, durations, {', '.join(COUNTERS)} FROM session_stats WHERE {of_sessions}",
        f"SELECT 1, * FROM ({packed(facts_waiting(of_sessions), SESSION_KEY, COUNTERS)})",
        f"SELECT -1, * FROM ({packed(facts(which), SESSION_KEY, COUNTERS)})",
        f"SELECT 0, session_id, {_NOTHING} FROM stats_uncounted WHERE {of_sessions}",
        f"SELECT 2, id, {_NOTHING} FROM sessions WHERE {which.format(id='id')}",
    ]
    return " UNION ALL ".join(parts)


def differences(database: Database) -> Iterator[str]:
    """Where statistics are not what a full count gives, in words; nothing where all is right. Raises `DatabaseError`."""
    waiting = database.execute(_HOW_MANY_WAIT, operation=_OPERATION).rows[0][0]
    at_once = max(_SESSIONS_AT_ONCE, waiting // _LOOKS_AT_WAITING)
    after: Any = ""
    while True:
        found = database.execute(_NEXT, (after, at_once - 1), operation=_OPERATION).rows
        if not found:
            yield from _of_sessions(database, "{id} > ?", (after,))
            break
        yield from _of_sessions(database, "{id} > ? AND {id} <= ?", (after, found[0][0]))
        after = found[0][0]
    for dimension in DIMENSIONS:
        for span in ("day", "month"):
            yield from _of_dimension(database, dimension, span)


def _of_sessions(database: Database, where: str, between: tuple[Any, ...]) -> Iterator[str]:
    sql = _both(where)
    rows = database.execute(sql, between * (sql.count("?") // len(between)), operation=_OPERATION).rows
    # What belongs to no session may have been there before it was counted.
    compared = {row[1] for row in rows if row[0] == 2} - {row[1] for row in rows if row[0] == 0}  # noqa: PLR2004  # as above
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for sign, *key, durations, in_counters in ((*row[:7], row[7:]) for row in rows):
        if key[0] not in compared or sign not in {1, -1}:
            continue
        total = sums.setdefault(tuple(key), {})
        lengths = {f"of {lower_ms} ms": number for lower_ms, number in json.loads(durations or "{}").items()}
        for column, number in (dict(zip(COUNTERS, in_counters, strict=True)) | lengths).items():
            total[column] = total.get(column, 0) + sign * number
    for (session_id, kind, name, _, day), total in sums.items():
        wrong = {column: number for column, number in total.items() if number}
        if wrong:
            yield f"session {session_id!r:.60}, day {day}, {kind} {name!r:.60}: off by {_in_words(wrong)}"


def _of_dimension(database: Database, dimension: str, span: str) -> Iterator[str]:
    spans = [(dimension, span)]
    where = f"dimension = '{dimension}' AND span = '{span}'"
    buckets = """SELECT dimension, span, period, stats_durations.value, kind, key AS lower_ms, each.value AS count
        FROM stats_durations CROSS JOIN json_each(durations) AS each"""
    for table, stored, key, columns, spreading in (
        ("stats", "SELECT * FROM stats", STATS_KEY, COUNTERS, spread),
        ("stats_durations", buckets, f"{DURATIONS_KEY}, lower_ms", ("count",), spread_durations),
    ):
        names = f"{key}, {', '.join(columns)}"
        parts = [f"SELECT {names} FROM ({stored}) WHERE {where}"]
        parts += [
            f"SELECT {names} FROM ({spreading(source, spans)})" for source in ("SELECT * FROM stats_changes", brought(-1))
        ]
        sums = ", ".join(f"sum({column})" for column in columns)
        is_wrong = " OR ".join(f"sum({column}) <> 0" for column in columns)
        sql = f"SELECT {key}, {sums} FROM ({' UNION ALL '.join(parts)}) GROUP BY {key} HAVING {is_wrong}"
        for row in database.execute(sql, operation=_OPERATION).rows:
            place, numbers = row[: -len(columns)], dict(zip(columns, row[-len(columns) :], strict=True))
            wrong = {column: number for column, number in numbers.items() if number}
            yield f"{table} by {', '.join(f'{part!r:.60}' for part in place if part != '')}: off by {_in_words(wrong)}"


def _in_words(wrong: dict[str, int]) -> str:
    return ", ".join(f"{number:+,} {column}" for column, number in wrong.items())
