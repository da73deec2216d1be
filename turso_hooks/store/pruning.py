"""Removing sessions with all that is in them, some rows at a time, so that whoever writes meanwhile hardly waits.

With a session go its sub-agents' sessions, and theirs. Triggers see to the search index and to statistics.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from turso_hooks.drivers import Database, Statement
from turso_hooks.store.pacing import Pace, do_all

_OPERATION = "remove sessions"
_TARGET_S = 0.1
"""How long a transaction may take. Whoever waits for one may have to wait for the next as well: SQLite has no queue."""

_FIRST_AT_ONCE, _MOST_AT_ONCE = 100, 2000
"""Rows of each table."""

_TREES_AT_ONCE = 50
_PAYLOADS_AT_ONCE = 20

# What refers to another row goes before it.
_CHILDREN = {
    "tool_calls": "tool_executions",
    "model_calls": "model_calls",
    "notes": "notes",
    "messages": "messages",
}
_IS_FREE = {"messages": "NOT EXISTS (SELECT 1 FROM tool_executions AS call WHERE call.session_id = messages.session_id)"}
"""What must be so for a row to go: a server enforces the reference of a tool execution to a message."""

# Rows are named by their rowids: an id may be bytes, or text that is none.
_CHOSEN_ROWS = "FROM sessions WHERE rowid IN (SELECT value FROM json_each(?)) AND (seen_ms IS NULL OR seen_ms < ?)"
_CHOSEN = f"SELECT id {_CHOSEN_ROWS}"
_IS_EMPTY = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {each} WHERE session_id = sessions.id)" for each in _CHILDREN.values())
_IS_ROOT = """(parent_session_id IS NULL OR NOT EXISTS (
    SELECT 1 FROM sessions AS parent WHERE parent.id = sessions.parent_session_id AND parent.id <> sessions.id))"""
_SUB_AGENTS = """SELECT child.rowid, parent.rowid, child.seen_ms, child.status FROM sessions AS parent
    CROSS JOIN sessions AS child ON child.parent_session_id = parent.id
    WHERE parent.rowid IN (SELECT value FROM json_each(?)) AND child.parent_session_id IS NOT NULL"""

_IS_UNUSED = """NOT EXISTS (SELECT 1 FROM payload_sessions JOIN sessions ON sessions.id = session_id
    WHERE payload_id = {id})"""
_UNUSED = f"""SELECT id FROM payloads WHERE id > ? AND piece = 0 AND {_IS_UNUSED.format(id="payloads.id")}
    ORDER BY id LIMIT {_PAYLOADS_AT_ONCE}"""
_REMOVE_PAYLOADS = (
    f"DELETE FROM payloads WHERE id IN (SELECT value FROM json_each(?)) AND {_IS_UNUSED.format(id='payloads.id')}",
    """DELETE FROM payload_sessions WHERE payload_id IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM payloads WHERE id = payload_id)""",
)

ALL_TIME_MS = 2**62
"""Later than anything is seen."""


@dataclass
class Removed:
    """How many rows of each kind are gone."""

    sessions: int = 0
    messages: int = 0
    tool_calls: int = 0
    model_calls: int = 0
    notes: int = 0

    def add(self, other: Removed, sign: int = 1) -> None:
        """Add others to these, or take them away."""
        for entry in fields(self):
            setattr(self, entry.name, max(0, getattr(self, entry.name) + sign * getattr(other, entry.name)))


@dataclass(frozen=True)
class Prunable:
    """Which sessions are to go: SQL on the table `sessions` and its arguments, and since when nothing of them was seen."""

    sql: str = "true"
    arguments: Sequence[Any] = ()
    seen_before_ms: int = ALL_TIME_MS
    alive_from_ms: int = ALL_TIME_MS
    """What is running and was seen then or later stays, and what started it."""


def newest_kept(database: Database, prunable: Prunable, keep: int) -> tuple[int, int] | None:
    """Of those that are meant the `keep`-th that was seen last: when, and its rowid; None if there are not so many.

    Reads as many sessions.
    """
    if keep == 0:
        return ALL_TIME_MS, ALL_TIME_MS
    sql = f"""SELECT seen_ms, rowid FROM sessions WHERE seen_ms IS NOT NULL AND {prunable.sql} AND {_IS_ROOT}
        ORDER BY seen_ms DESC, rowid DESC LIMIT 1 OFFSET ?"""
    found = database.execute(sql, (*prunable.arguments, keep - 1), operation=_OPERATION).rows
    return (found[0][0], found[0][1]) if found else None


class Pruner:
    """Removes the sessions that are meant, those that were seen last long ago first. Its methods raise `DatabaseError`.

    A sub-agent's session goes with the one that started it, and not before: unless that is not there at all. Sessions that are
    their own ancestors stay.
    """

    def __init__(self, database: Database, prunable: Prunable) -> None:
        self.removed = Removed()
        """What is gone of the sessions that were gone through. Two that do the same at once may both count a row."""
        self.pace = Pace(_FIRST_AT_ONCE, _MOST_AT_ONCE, _TARGET_S)
        self._database = database
        self._prunable = prunable
        self._from_ms = -ALL_TIME_MS
        self._looked_at: list[int] = []
        """The sessions that were looked at and seen last at that time."""
        self._trees: list[int] = []
        """The sessions that are being removed, with their sub-agents'."""
        self._there: Removed | None = None
        """What was there of them; None as long as that was not counted."""
        self._after_payload = ""

    @classmethod
    def of_session(cls, database: Database, session_id: str) -> Pruner:
        """Removes one session, whenever it was seen, and its sub-agents'."""
        pruner = cls(database, Prunable("false"))
        found = database.execute("SELECT rowid FROM sessions WHERE id = ?", (session_id,), operation=_OPERATION).rows
        pruner._trees = pruner._trees_of([rowid for (rowid,) in found])
        return pruner

    def chosen(self) -> tuple[set[str], Removed]:
        """The ids of the sessions that are being removed, and what is in them."""
        rows = self._database.execute(_CHOSEN, self._chosen(self._trees), operation=_OPERATION).rows
        return {session_id for (session_id,) in rows}, self._counted()

    def count(self) -> Removed:
        """What would go. Reads those sessions, and the index entries of what is in them."""
        total, place = Removed(), (self._from_ms, self._looked_at)
        while trees := self._next_trees():
            total.add(self._count(trees))
        self._from_ms, self._looked_at = place
        return total

    def remove_some(self) -> bool:
        """Remove some rows in one transaction; False if there are none. Afterwards others should have as much time."""
        if not self._trees:
            self._trees, self._there = self._next_trees(), None
            if not self._trees:
                return self._remove_payloads()
        there = self._counted()
        with self.pace.kept() as at_once:
            self._database.transaction(list(self._steps(at_once)), operation=_OPERATION)
        sql = f"SELECT EXISTS ({_CHOSEN})"
        if not self._database.execute(sql, self._chosen(self._trees), operation=_OPERATION).rows[0][0]:
            there.add(self._count(self._trees, ALL_TIME_MS), -1)  # something may have been seen of it again
            self.removed.add(there)
            self._trees = []
        return True

    def remove_rest(self, tell: Callable[[Removed], object] | None = None) -> None:
        """Remove everything that is meant; `tell` is told after each transaction what is gone so far; see `pacing.do_all`."""
        do_all(self.remove_some, None if tell is None else lambda _: tell(self.removed))

    def _counted(self) -> Removed:
        if self._there is None:
            self._there = self._count(self._trees)
        return self._there

    def _remove_payloads(self) -> bool:
        """Remove some large values that nothing refers to any more; False if there are none."""
        rows = self._database.execute(_UNUSED, (self._after_payload,), operation=_OPERATION).rows
        found = [payload_id for (payload_id,) in rows]
        if found:
            statements = [Statement(sql, [(json.dumps(found),)]) for sql in _REMOVE_PAYLOADS]
            self._database.transaction(statements, operation=_OPERATION)
        self._after_payload = found[-1] if found else ""
        return bool(found)

    def _chosen(self, trees: Sequence[int], seen_before_ms: int | None = None) -> tuple[str, int]:
        """The arguments of `_CHOSEN`."""
        return json.dumps(trees), self._prunable.seen_before_ms if seen_before_ms is None else seen_before_ms

    def _steps(self, at_once: int) -> Iterator[Statement]:
        chosen = self._chosen(self._trees)
        for table in _CHILDREN.values():
            rows = f"""SELECT {table}.rowid FROM {table}
                WHERE session_id IN ({_CHOSEN}) AND {_IS_FREE.get(table, "true")} LIMIT ?"""
            yield Statement(f"DELETE FROM {table} WHERE rowid IN ({rows})", [(*chosen, at_once)])
        yield Statement(f"DELETE {_CHOSEN_ROWS} AND {_IS_EMPTY}", [chosen])

    def _count(self, trees: Sequence[int], seen_before_ms: int | None = None) -> Removed:
        parts = [f"(SELECT count(*) FROM {table} WHERE session_id IN ({_CHOSEN}))" for table in _CHILDREN.values()]
        sql = f"SELECT (SELECT count(*) FROM ({_CHOSEN})), {', '.join(parts)}"
        arguments = self._chosen(trees, seen_before_ms) * (1 + len(parts))
        counts = self._database.execute(sql, arguments, operation=_OPERATION).rows[0]
        return Removed(**dict(zip(("sessions", *_CHILDREN), counts, strict=True)))

    def _next_trees(self) -> list[int]:
        """Some sessions that are meant and all sub-agents of theirs; none once there are no more."""
        prunable = self._prunable
        # As a CASE, so that no index is taken but the one that has them in this order.
        sql = f"""SELECT rowid, seen_ms FROM sessions WHERE seen_ms >= ? AND seen_ms < ?
            AND CASE WHEN {prunable.sql} AND NOT (status = 'running' AND seen_ms >= ?) THEN {_IS_ROOT} ELSE false END
            AND rowid NOT IN (SELECT value FROM json_each(?)) ORDER BY seen_ms LIMIT {_TREES_AT_ONCE}"""
        while True:
            here = (self._from_ms, prunable.seen_before_ms, *prunable.arguments, prunable.alive_from_ms)
            found = self._database.execute(sql, (*here, json.dumps(self._looked_at)), operation=_OPERATION).rows
            if not found:
                return []
            trees = self._trees_of([rowid for rowid, _ in found])
            last_ms = found[-1][1]
            looked_at = [] if last_ms > self._from_ms else self._looked_at
            self._looked_at = [*looked_at, *(rowid for rowid, seen_ms in found if seen_ms == last_ms)]
            self._from_ms = last_ms
            if trees:
                return trees

    def _trees_of(self, roots: Sequence[int]) -> list[int]:
        """These sessions with their sub-agents', but for those with a sub-agent that stays."""
        root_of = {root: root for root in roots}
        staying: set[int] = set()
        level = list(roots)
        while level:
            found = self._database.execute(_SUB_AGENTS, (json.dumps(level),), operation=_OPERATION).rows
            level = []
            for rowid, parent, seen_ms, status in found:
                if rowid not in root_of:
                    root_of[rowid] = root_of[parent]
                    level.append(rowid)
                    if self._stays(seen_ms, status):
                        staying.add(root_of[rowid])
        return [rowid for rowid, root in root_of.items() if root not in staying]

    def _stays(self, seen_ms: int | None, status: str) -> bool:
        if seen_ms is None:
            return False
        return seen_ms >= self._prunable.seen_before_ms or (status == "running" and seen_ms >= self._prunable.alive_from_ms)
