"""Bringing what was counted to where it is read, and counting anew what triggers have not seen (see `counted`).

Each method is one transaction, or few of bounded size, and may be called by any number of processes at once.
"""

from __future__ import annotations

from turso_hooks.drivers import Database, Statement
from turso_hooks.store.counted import (
    CONTRIBUTION,
    COUNTED,
    COUNTERS,
    DIMENSIONS,
    DURATIONS_KEY,
    KEY,
    STATS_KEY,
    contributions,
    packed,
    recounted,
    recounted_sessions,
    spread,
    spread_durations,
)
from turso_hooks.store.pacing import Pace

_FIRST_AT_ONCE, _MOST_AT_ONCE = 500, 5000
"""Rows of `session_stats`."""

_ROWS_IN_EACH = 10
"""What is logged makes a row there for each tool, model and day of a session: far fewer."""

_SESSIONS_FIRST, _SESSIONS_MOST = 20, 500

_FIRST = "SELECT rowid, count FROM session_stats WHERE waits = 1 ORDER BY session_id, rowid LIMIT ?"
_WAITING = "SELECT rowid FROM session_stats WHERE waits = 1 AND count <> 0 ORDER BY session_id, rowid LIMIT ?"
_CHANGES = "rowid <= (SELECT max(rowid) FROM (SELECT rowid FROM stats_changes ORDER BY rowid LIMIT ?))"
_CHANGED = f"SELECT * FROM stats_changes WHERE {_CHANGES}"
_SPREAD = tuple((dimension, span) for dimension in DIMENSIONS for span in ("day", "month"))

# Those that come, and those that are there already: Turso's engine (0.6) has no subquery in an upsert that could add them.
_COMING = spread_durations(_CHANGED, _SPREAD)
_BUCKETS = f"""{_COMING} UNION ALL
    SELECT dimension, span, period, stats_durations.value, kind, each.key, each.value
    FROM (SELECT DISTINCT {DURATIONS_KEY} FROM ({_COMING})) CROSS JOIN stats_durations USING ({DURATIONS_KEY})
    CROSS JOIN json_each(durations) AS each"""

_BRING = (
    f"DELETE FROM session_stats WHERE rowid IN (SELECT rowid FROM ({_FIRST}) WHERE count = 0)",
    f"""INSERT INTO stats_changes (sign, {", ".join(CONTRIBUTION)})
        SELECT 1, {contributions("session_stats")} FROM session_stats LEFT JOIN sessions ON sessions.id = session_id
        WHERE session_stats.rowid IN ({_WAITING})""",
    f"UPDATE session_stats SET waits = 0 WHERE rowid IN ({_WAITING})",
    f"""INSERT INTO stats ({STATS_KEY}, {", ".join(COUNTERS)})
        SELECT {STATS_KEY}, {", ".join(f"sum({column})" for column in COUNTERS)} FROM ({spread(_CHANGED, _SPREAD)})
        WHERE true GROUP BY {STATS_KEY}
        ON CONFLICT ({STATS_KEY}) DO UPDATE SET {", ".join(f"{each} = stats.{each} + excluded.{each}" for each in COUNTERS)}""",
    f"INSERT OR REPLACE INTO stats_durations ({DURATIONS_KEY}, durations) {packed(_BUCKETS, DURATIONS_KEY)}",
    f"DELETE FROM stats_changes WHERE {_CHANGES}",
)

_CHOSEN = "SELECT session_id FROM stats_uncounted ORDER BY session_id LIMIT ?"


_INTO_STATS = f"INSERT INTO session_stats ({', '.join(KEY)}, durations, {', '.join(COUNTERS)})"

_RECOUNT = (
    f"DELETE FROM session_stats WHERE session_id IN ({_CHOSEN})",
    *(f"{_INTO_STATS} {recounted(counted, f'session_id IN ({_CHOSEN})')}" for counted in COUNTED),
    f"{_INTO_STATS} {recounted_sessions(f'id IN ({_CHOSEN})')}",
    f"DELETE FROM stats_uncounted WHERE session_id IN ({_CHOSEN})",
)

_EVERYTHING = " UNION ".join(
    ["SELECT id FROM sessions WHERE id IS NOT NULL", *(f"SELECT session_id FROM {each.table}" for each in COUNTED)]
)

_IS_WAITING = """SELECT EXISTS (SELECT 1 FROM session_stats WHERE waits = 1) OR EXISTS (SELECT 1 FROM stats_changes),
    EXISTS (SELECT 1 FROM stats_uncounted)"""

_SWEEP = (
    f"DELETE FROM stats WHERE {' AND '.join(f'{column} = 0' for column in COUNTERS)}",
    """DELETE FROM stats_durations
        WHERE NOT EXISTS (SELECT 1 FROM json_each(stats_durations.durations) AS each WHERE each.value <> 0)""",
)

_FORGET = (
    "DELETE FROM session_stats",
    "DELETE FROM stats_changes",
    "DELETE FROM stats",
    "DELETE FROM stats_durations",
    f"INSERT OR IGNORE INTO stats_uncounted {_EVERYTHING}",
)


class Rollups:
    """The statistics of a database whose schema is up to date. Its methods raise `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.pace = Pace(_FIRST_AT_ONCE, _MOST_AT_ONCE)
        self.recount_pace = Pace(_SESSIONS_FIRST, _SESSIONS_MOST)
        self._may_be_uncounted = False

    def do_some(self) -> int:
        """Bring some of what waits to where it is read, after counting some sessions of which that was never done.

        Returns how many rows were brought at most. Reads and writes a bounded number of rows, and what is in those sessions.
        """
        if self._may_be_uncounted:
            with self.recount_pace.kept() as at_once:
                self._run(_RECOUNT, at_once, "count sessions for statistics")
        with self.pace.kept() as at_once:
            self._run(_BRING, at_once, "bring statistics up to date")
        return at_once * _ROWS_IN_EACH

    def is_waiting(self) -> bool:
        """Whether there is something to do. Reads three rows at most."""
        waiting, self._may_be_uncounted = self._database.execute(_IS_WAITING, operation="look at statistics").rows[0]
        return bool(waiting or self._may_be_uncounted)

    def uncounted(self) -> int:
        """How many sessions are yet to be counted."""
        count: int = self._database.execute("SELECT count(*) FROM stats_uncounted", operation="look at statistics").rows[0][0]
        return count

    def do_rest(self) -> None:
        """Do all there is to do, and let go of values of which nothing is left. Reads all statistics once."""
        while self.is_waiting():
            self.do_some()
        self._database.transaction([Statement(sql) for sql in _SWEEP], operation="tidy up statistics")

    def forget(self) -> None:
        """Begin anew: everything is to be counted. Until then statistics lack what is not."""
        self._database.transaction([Statement(sql) for sql in _FORGET], operation="begin statistics anew")
        self._may_be_uncounted = True

    def _run(self, sqls: tuple[str, ...], at_once: int, operation: str) -> None:
        statements = [Statement(sql, [(at_once,) * sql.count("?")]) for sql in sqls]
        self._database.transaction(statements, operation=operation)
