"""Whether statistics are what a full count gives (see `counted`). Reads all that is counted, some sessions at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from turso_hooks.drivers import Database
from turso_hooks.store.counted import (
    COUNTED,
    COUNTERS,
    DIMENSIONS,
    DURATIONS_KEY,
    KEY,
    STATS_KEY,
    TOOL_CALL,
    TOOL_USE,
    contributions,
    recounted,
    recounted_sessions,
    spread,
    spread_durations,
)

_OPERATION = "count everything anew"
_SESSIONS_AT_ONCE = 200

_NEXT = "SELECT id FROM sessions WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?"
_COLUMNS = ", ".join((*KEY, "durations", *COUNTERS))
_NOTHING = ", ".join("NULL" for _ in (*KEY[1:], "durations", *COUNTERS))


def _both(where: str) -> str:
    """SQL: what is counted of some sessions, and what a count gives; and which of them are not to be compared yet."""
    of_sessions = where.format(id="session_id")
    parts = [
        f"SELECT 1 AS sign, {_COLUMNS} FROM session_stats WHERE {of_sessions}",
        *(f"SELECT -1, * FROM ({recounted(each, where.format(id=f'{each.table}.session_id'))})" for each in COUNTED),
        f"SELECT -1, * FROM ({recounted_sessions(where.format(id='id'))})",
        f"SELECT 0, session_id, {_NOTHING} FROM stats_uncounted WHERE {of_sessions}",
        f"SELECT 2, id, {_NOTHING} FROM sessions WHERE {where.format(id='id')}",
    ]
    return " UNION ALL ".join(parts)


_ALL = f"""SELECT -1 AS sign, {contributions("session_stats")}
    FROM session_stats LEFT JOIN sessions ON sessions.id = session_id"""
_FRESH = f"""SELECT * FROM stats_changes UNION ALL SELECT 1, {contributions("session_stats")}
    FROM session_stats LEFT JOIN sessions ON sessions.id = session_id WHERE waits = 1"""


def differences(database: Database) -> Iterator[str]:
    """Where statistics are not what a full count gives, in words; nothing where all is right. Raises `DatabaseError`."""
    after: Any = ""
    while True:
        found = database.execute(_NEXT, (after, _SESSIONS_AT_ONCE - 1), operation=_OPERATION).rows
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
    tools: dict[tuple[Any, Any], int] = {}
    for sign, session_id, day, kind, name, provider, durations, *counters in rows:
        if kind is None or session_id not in compared:
            continue
        if kind == TOOL_CALL and sign < 0:
            tools[session_id, name] = tools.get((session_id, name), 0) + 1
        total = sums.setdefault((session_id, day, kind, name, provider), {})
        lengths = {f"of {lower_ms} ms": number for lower_ms, number in json.loads(durations or "{}").items()}
        numbers = dict(zip(COUNTERS, counters, strict=True)) | lengths
        for column, number in numbers.items():
            total[column] = total.get(column, 0) + sign * number
    for (session_id, name), days in tools.items():
        used = sums.setdefault((session_id, 0, TOOL_USE, name, ""), {})
        used["count"] = used.get("count", 0) - days
    for (session_id, day, kind, name, _), total in sums.items():
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
        parts += [f"SELECT {names} FROM ({spreading(source, spans)})" for source in (_FRESH, _ALL)]
        sums = ", ".join(f"sum({column})" for column in columns)
        is_wrong = " OR ".join(f"sum({column}) <> 0" for column in columns)
        sql = f"SELECT {key}, {sums} FROM ({' UNION ALL '.join(parts)}) GROUP BY {key} HAVING {is_wrong}"
        for row in database.execute(sql, operation=_OPERATION).rows:
            place, numbers = row[: -len(columns)], dict(zip(columns, row[-len(columns) :], strict=True))
            wrong = {column: number for column, number in numbers.items() if number}
            yield f"{table} by {', '.join(f'{part!r:.60}' for part in place if part != '')}: off by {_in_words(wrong)}"


def _in_words(wrong: dict[str, int]) -> str:
    return ", ".join(f"{number:+,} {column}" for column, number in wrong.items())
