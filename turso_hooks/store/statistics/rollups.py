"""Bringing what was noted to where it is read, and counting anew what triggers have not seen.

Each method is one transaction, or few, and may be called by any number of processes at once. Those of `do_some` are of bounded
size, but for the rows of one session that is counted anew; `forget` is one that reads the ids of all sessions.
"""

from __future__ import annotations

from collections.abc import Callable

from turso_hooks.drivers import Database, Statement
from turso_hooks.store.pacing import Pace, do_all
from turso_hooks.store.statistics.buckets import packed
from turso_hooks.store.statistics.counted import COUNTERS, EVERY_SESSION, SESSION_KEY, facts, facts_waiting
from turso_hooks.store.statistics.spreading import (
    CONTRIBUTION,
    DIMENSIONS,
    DURATIONS_KEY,
    STATS_KEY,
    brought,
    spread,
    spread_durations,
    waiting,
)

_FIRST_AT_ONCE, _MOST_AT_ONCE = 2000, 20_000
"""Rows of `stats_waiting`, and of `stats_changes`."""

_SESSIONS_FIRST, _SESSIONS_MOST = 20, 500

_SPREAD = tuple((dimension, span) for dimension in DIMENSIONS for span in ("day", "month"))


def _first_of(table: str) -> str:
    """SQL: the rows of a table that were there first; as many as its argument says."""
    return f"rowid <= (SELECT max(rowid) FROM (SELECT rowid FROM {table} ORDER BY rowid LIMIT ?))"


def _add(table: str, key: str, rows: str) -> str:
    """SQL that adds counters to those of a table."""
    numbers = ", ".join(COUNTERS)
    sums = ", ".join(f"sum({column})" for column in COUNTERS)
    added = ", ".join(f"{column} = {table}.{column} + excluded.{column}" for column in COUNTERS)
    return f"""INSERT INTO {table} ({key}, {numbers}) SELECT {key}, {sums} FROM ({rows}) WHERE true GROUP BY {key}
        ON CONFLICT ({key}) DO UPDATE SET {added}"""


def _add_durations(table: str, key: str, buckets: str) -> str:
    """SQL that adds durations to those of a table."""
    # The keys of JSON are text.
    coming = f"SELECT {key}, CAST(lower_ms AS TEXT) AS lower_ms, count FROM ({buckets}) WHERE lower_ms IS NOT NULL"
    of_row = ", ".join(f"{table}.{column}" for column in key.split(", "))
    # Those that are there already come along: Turso's engine (0.6) has no subquery in an upsert that could add to them.
    together = f"""SELECT {key}, lower_ms, count FROM coming UNION ALL SELECT {of_row}, each.key, each.value
        FROM (SELECT DISTINCT {key} FROM coming) CROSS JOIN {table} USING ({key}) CROSS JOIN json_each(durations) AS each"""
    return f"""INSERT INTO {table} ({key}, durations) WITH coming AS ({coming}) {packed(together, key)}
        ON CONFLICT ({key}) DO UPDATE SET durations = excluded.durations"""


_NOTED = _first_of("stats_waiting")
_CHANGES = _first_of("stats_changes")
_CHANGED = f"SELECT * FROM stats_changes WHERE {_CHANGES}"
_INTO_CHANGES = f"INSERT INTO stats_changes (sign, {', '.join(CONTRIBUTION)})"
_IS_NOTHING = " AND ".join(f"{column} = 0" for column in COUNTERS)
_NO_BUCKETS = "NOT EXISTS (SELECT 1 FROM json_each({table}.durations) AS each WHERE each.value <> 0)"

_BRING = (
    f"{_INTO_CHANGES} {waiting(_NOTED)}",
    _add("session_stats", SESSION_KEY, facts_waiting(_NOTED)),
    _add_durations("session_stats", SESSION_KEY, facts_waiting(_NOTED)),
    f"""DELETE FROM session_stats WHERE session_id IN (SELECT session_id FROM stats_waiting WHERE {_NOTED})
        AND {_IS_NOTHING} AND {_NO_BUCKETS.format(table="session_stats")}""",
    f"DELETE FROM stats_waiting WHERE {_NOTED}",
    _add("stats", STATS_KEY, spread(_CHANGED, _SPREAD)),
    _add_durations("stats_durations", DURATIONS_KEY, spread_durations(_CHANGED, _SPREAD)),
    f"DELETE FROM stats_changes WHERE {_CHANGES}",
)

_CHOSEN = "SELECT session_id FROM stats_uncounted ORDER BY session_id LIMIT ?"

_RECOUNT = (
    f"{_INTO_CHANGES} {brought(-1, _CHOSEN)}",
    f"DELETE FROM session_stats WHERE session_id IN ({_CHOSEN})",
    f"DELETE FROM stats_waiting WHERE session_id IN ({_CHOSEN})",
    f"""INSERT INTO session_stats ({SESSION_KEY}, durations, {", ".join(COUNTERS)})
        {packed(facts(f"{{id}} IN ({_CHOSEN})"), SESSION_KEY, COUNTERS)}""",
    f"{_INTO_CHANGES} {brought(1, _CHOSEN)}",
    f"DELETE FROM stats_uncounted WHERE session_id IN ({_CHOSEN})",
)

_IS_WAITING = """SELECT EXISTS (SELECT 1 FROM stats_waiting) OR EXISTS (SELECT 1 FROM stats_changes),
    EXISTS (SELECT 1 FROM stats_uncounted)"""

_SWEEP = (
    f"DELETE FROM stats WHERE {_IS_NOTHING}",
    f"DELETE FROM stats_durations WHERE {_NO_BUCKETS.format(table='stats_durations')}",
)

_FORGET = (
    "DELETE FROM stats_waiting",
    "DELETE FROM session_stats",
    "DELETE FROM stats_changes",
    "DELETE FROM stats",
    "DELETE FROM stats_durations",
    f"INSERT OR IGNORE INTO stats_uncounted {EVERY_SESSION}",
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
        return at_once

    def is_waiting(self) -> bool:
        """Whether there is something to do. Reads three rows at most."""
        waits, self._may_be_uncounted = self._database.execute(_IS_WAITING, operation="look at statistics").rows[0]
        return bool(waits or self._may_be_uncounted)

    def uncounted(self) -> int:
        """How many sessions are yet to be counted."""
        count: int = self._database.execute("SELECT count(*) FROM stats_uncounted", operation="look at statistics").rows[0][0]
        return count

    def do_rest(self, tell: Callable[[int], object] | None = None) -> None:
        """Do all there is to do, and let go of values of which nothing is left. Reads all statistics once.

        `tell` is told what each `do_some` returns; see `pacing.do_all`.
        """
        do_all(lambda: self.is_waiting() and self.do_some(), tell)
        self._database.transaction([Statement(sql) for sql in _SWEEP], operation="tidy up statistics")

    def forget(self) -> None:
        """Begin anew: everything is to be counted. Until then statistics lack what is not."""
        self._database.transaction([Statement(sql) for sql in _FORGET], operation="begin statistics anew")
        self._may_be_uncounted = True

    def _run(self, sqls: tuple[str, ...], at_once: int, operation: str) -> None:
        statements = [Statement(sql, [(at_once,) * sql.count("?")]) for sql in sqls]
        self._database.transaction(statements, operation=operation)
