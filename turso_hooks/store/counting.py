"""The tables of statistics, and the triggers that keep them (see `counted`). Pure.

A trigger that fails would fail whoever writes: nothing in these may, whatever stands in a row.
"""

from __future__ import annotations

from turso_hooks.store.counted import (
    CONTRIBUTION,
    COUNTED,
    COUNTERS,
    DURATIONS_KEY,
    KEY,
    SESSION,
    SESSION_DIMENSIONS,
    STATS_KEY,
    TOOL_CALL,
    TOOL_USE,
    CountedTable,
    contributions,
    day_of,
)

STATS_TABLES = (
    f"""CREATE TABLE session_stats (
        session_id TEXT NOT NULL, day INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL,
        waits INTEGER NOT NULL DEFAULT 1, durations TEXT,
        {", ".join(f"{each} INTEGER NOT NULL DEFAULT 0" for each in COUNTERS)},
        PRIMARY KEY ({", ".join(KEY)}))""",
    "CREATE INDEX idx_session_stats_waits ON session_stats(session_id) WHERE waits = 1",
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


def _counted(counted: CountedTable, row: str, sign: int) -> str:
    """SQL that counts a row (`sign` 1), or takes it back (-1)."""
    columns = [*KEY, "count", *counted.counters]
    values = [*counted.key(row), str(sign), *(f"{sign} * {counted.of(row, sql)}" for sql in counted.counters.values())]
    changes = [f"{column} = {column} + excluded.{column}" for column in ("count", *counted.counters)]
    if counted.has_duration:
        path = "'$.' || substr(excluded.durations, 2, instr(excluded.durations, ':') - 2)"
        columns.append("durations")
        values.append(f"""'{{"' || {counted.of(row, counted.bucket)} || '":{sign}}}'""")
        changes.append(
            f"""durations = CASE WHEN excluded.durations IS NULL THEN durations
                ELSE json_set(coalesce(durations, '{{}}'), {path}, coalesce(json_extract(durations, {path}), 0) + {sign}) END"""
        )
    return _upsert(columns, values, changes)


def _upsert(columns: list[str], values: list[str], changes: list[str]) -> str:
    return f"""INSERT INTO session_stats ({", ".join(columns)}) VALUES ({", ".join(values)})
        ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {", ".join([*changes, "waits = 1"])}"""


def _counts(counted: CountedTable) -> tuple[str, ...]:
    table = counted.table
    reads = ("session_id", "occurred_ms", *counted.reads)
    is_other = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in reads)
    add, take = _counted(counted, "NEW", 1), _counted(counted, "OLD", -1)
    return (
        f"CREATE TRIGGER {table}_counted_inserted AFTER INSERT ON {table} BEGIN {add}; END",
        f"""CREATE TRIGGER {table}_counted_updated AFTER UPDATE OF {", ".join(reads)} ON {table} WHEN {is_other}
            BEGIN {take}; {add}; END""",
        f"CREATE TRIGGER {table}_counted_deleted AFTER DELETE ON {table} BEGIN {take}; END",
    )


def _session(row: str, sign: int, ended: str = "") -> str:
    completed, failed = (f"({row}.status IS '{status}')" for status in ("completed", "error"))
    if ended:
        count, completed, failed = "0", f"{completed} - (OLD.status IS 'completed')", f"{failed} - (OLD.status IS 'error')"
    else:
        count, completed, failed = str(sign), f"{sign} * {completed}", f"{sign} * {failed}"
    changes = [f"{column} = {column} + excluded.{column}" for column in ("count", "completed", "errors")]
    values = [f"{row}.id", "0", f"'{SESSION}'", "''", "''", count, completed, failed]
    return _upsert([*KEY, "count", "completed", "errors"], values, changes)


def _use(row: str, by: str) -> str:
    values = [f"{row}.session_id", "0", f"'{TOOL_USE}'", f"{row}.name", "''", by]
    return _upsert([*KEY, "count"], values, ["count = count + excluded.count"])


_WAITS = "UPDATE session_stats SET waits = 1 WHERE session_id = {id} AND waits = 0"
_IS_OTHER = " OR ".join(
    [
        *(f"NEW.{column} IS NOT OLD.{column}" for column in (*SESSION_DIMENSIONS, "model", "provider")),
        f"{day_of('NEW.occurred_ms')} <> {day_of('OLD.occurred_ms')}",
    ]
)
_OF_CHANGED = contributions("OLD")

_TRIGGERS = (
    *(trigger for counted in COUNTED for trigger in _counts(counted)),
    # What was brought under one value is taken from there before it counts under another: hence BEFORE.
    f"""CREATE TRIGGER session_stats_changed AFTER UPDATE OF waits ON session_stats WHEN OLD.waits = 0 AND NEW.waits = 1
        BEGIN INSERT INTO stats_changes (sign, {", ".join(CONTRIBUTION)})
            SELECT -1, {_OF_CHANGED} FROM (SELECT 1) LEFT JOIN sessions ON sessions.id = OLD.session_id; END""",
    f"""CREATE TRIGGER session_stats_deleted BEFORE DELETE ON session_stats WHEN OLD.waits = 0
        BEGIN INSERT INTO stats_changes (sign, {", ".join(CONTRIBUTION)})
            SELECT -1, {_OF_CHANGED} FROM (SELECT 1) LEFT JOIN sessions ON sessions.id = OLD.session_id; END""",
    f"""CREATE TRIGGER session_stats_tool_used AFTER INSERT ON session_stats
        WHEN NEW.kind = '{TOOL_CALL}' AND NEW.count <> 0 BEGIN {_use("NEW", "1")}; END""",
    f"""CREATE TRIGGER session_stats_tool_use_changed AFTER UPDATE OF count ON session_stats
        WHEN NEW.kind = '{TOOL_CALL}' AND (NEW.count = 0) <> (OLD.count = 0)
        BEGIN {_use("NEW", "CASE WHEN NEW.count = 0 THEN -1 ELSE 1 END")}; END""",
    f"""CREATE TRIGGER sessions_counted_before_insert BEFORE INSERT ON sessions
        WHEN NOT EXISTS (SELECT 1 FROM sessions WHERE id = NEW.id) BEGIN {_WAITS.format(id="NEW.id")}; END""",
    # An id may be NULL: the original's tables allow it. What refers to a session may not.
    f"""CREATE TRIGGER sessions_counted_inserted AFTER INSERT ON sessions WHEN NEW.id IS NOT NULL
        BEGIN {_session("NEW", 1)}; END""",
    f"""CREATE TRIGGER sessions_counted_before_update
        BEFORE UPDATE OF {", ".join((*SESSION_DIMENSIONS, "model", "provider", "occurred_ms"))} ON sessions WHEN {_IS_OTHER}
        BEGIN {_WAITS.format(id="OLD.id")}; END""",
    f"""CREATE TRIGGER sessions_counted_updated AFTER UPDATE OF status ON sessions
        WHEN NEW.status IS NOT OLD.status AND NEW.id IS NOT NULL
        BEGIN {_session("NEW", 1, "ended")}; END""",
    f"CREATE TRIGGER sessions_counted_before_delete BEFORE DELETE ON sessions BEGIN {_WAITS.format(id='OLD.id')}; END",
    f"""CREATE TRIGGER sessions_counted_deleted AFTER DELETE ON sessions WHEN OLD.id IS NOT NULL
        BEGIN {_session("OLD", -1)}; END""",
)

STATS_TRIGGERS = tuple(" ".join(trigger.split()) for trigger in _TRIGGERS)
"""A request with all of them has to get through proxies with small limits."""
