"""The tables of statistics, and the triggers that note what is to be counted (see `counted`). Pure.

A trigger that fails would fail whoever writes: nothing in these may, whatever stands in a row. And a server compiles all
triggers of a table for each statement on it, so there is little in them.
"""

from __future__ import annotations

from turso_hooks.store.statistics.counted import COUNTED, COUNTERS, KEY, CountedTable, day_of
from turso_hooks.store.statistics.spreading import CONTRIBUTION, DURATIONS_KEY, SESSION_DIMENSIONS, STATS_KEY, contributions

_READS = tuple(dict.fromkeys(column for counted in COUNTED for column in counted.reads))

STATS_TABLES = (
    # No types: a value has to stay as it is.
    f"CREATE TABLE stats_waiting (sign INTEGER NOT NULL, counted TEXT NOT NULL, session_id, {', '.join(_READS)})",
    f"""CREATE TABLE session_stats (
        session_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL, day INTEGER NOT NULL,
        durations TEXT, {", ".join(f"{each} INTEGER NOT NULL DEFAULT 0" for each in COUNTERS)},
        PRIMARY KEY ({", ".join(KEY)}))""",
    f"""CREATE TABLE stats_changes (
        sign INTEGER NOT NULL, day INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, model TEXT NOT NULL,
        provider TEXT NOT NULL, {", ".join(f"{each} TEXT NOT NULL" for each in SESSION_DIMENSIONS)},
        durations TEXT, {", ".join(f"{each} INTEGER NOT NULL" for each in COUNTERS)})""",
    f"""CREATE TABLE stats (
        dimension TEXT NOT NULL, span TEXT NOT NULL, period TEXT NOT NULL, value TEXT NOT NULL, kind TEXT NOT NULL,
        model TEXT NOT NULL, provider TEXT NOT NULL, {", ".join(f"{each} INTEGER NOT NULL" for each in COUNTERS)},
        PRIMARY KEY ({STATS_KEY}))""",
    f"""CREATE TABLE stats_durations (
        dimension TEXT NOT NULL, span TEXT NOT NULL, period TEXT NOT NULL, value TEXT NOT NULL, kind TEXT NOT NULL,
        durations TEXT NOT NULL, PRIMARY KEY ({DURATIONS_KEY}))""",
    "CREATE TABLE stats_uncounted (session_id TEXT PRIMARY KEY)",
)


def _notes(counted: CountedTable) -> tuple[str, ...]:
    """Triggers that note which rows come, go and change."""
    table = counted.table
    columns = (counted.session_id, *counted.reads)
    note = f"INSERT INTO stats_waiting (sign, counted, session_id, {', '.join(counted.reads)}) VALUES"

    def row(which: str, sign: int) -> str:
        return f"({sign}, '{table}', {', '.join(f'{which}.{column}' for column in columns)})"

    is_other = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in columns)
    return (
        f"CREATE TRIGGER {table}_counted_inserted AFTER INSERT ON {table} BEGIN {note} {row('NEW', 1)}; END",
        f"""CREATE TRIGGER {table}_counted_updated AFTER UPDATE OF {", ".join(columns)} ON {table} WHEN {is_other}
            BEGIN {note} {row("OLD", -1)}, {row("NEW", 1)}; END""",
        f"CREATE TRIGGER {table}_counted_deleted AFTER DELETE ON {table} BEGIN {note} {row('OLD', -1)}; END",
    )


_OF_SESSIONS = (*SESSION_DIMENSIONS, "model", "provider", "occurred_ms")


def _moves(before: str, after: str) -> str:
    """SQL: brings what is counted of a session from under the values that it had to those that it has."""

    def of_session(column: str) -> str:
        was, is_now = (f"{row}.{column}" if row else "NULL" for row in (before, after))
        return f"CASE sign WHEN 1 THEN {is_now} ELSE {was} END"

    return f"""INSERT INTO stats_changes (sign, {", ".join(CONTRIBUTION)})
        SELECT sign, {contributions("session_stats", of_session)}
        FROM session_stats CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1)
        WHERE session_id = {after or before}.id"""


_IS_OTHER = " OR ".join(
    [
        *(f"NEW.{column} IS NOT OLD.{column}" for column in _OF_SESSIONS if column != "occurred_ms"),
        f"{day_of('NEW.occurred_ms')} <> {day_of('OLD.occurred_ms')}",
    ]
)

_TRIGGERS = (
    *(trigger for counted in COUNTED for trigger in _notes(counted)),
    f"CREATE TRIGGER sessions_moved_inserted AFTER INSERT ON sessions BEGIN {_moves('', 'NEW')}; END",
    f"""CREATE TRIGGER sessions_moved_updated AFTER UPDATE OF {", ".join(_OF_SESSIONS)} ON sessions WHEN {_IS_OTHER}
        BEGIN {_moves("OLD", "NEW")}; END""",
    f"CREATE TRIGGER sessions_moved_deleted AFTER DELETE ON sessions BEGIN {_moves('OLD', '')}; END",
)

STATS_TRIGGERS = tuple(" ".join(trigger.split()) for trigger in _TRIGGERS)
"""A request with all of them has to get through proxies with small limits."""
