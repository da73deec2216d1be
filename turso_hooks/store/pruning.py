"""Removing sessions with all that is in them, some rows at a time, so that whoever writes meanwhile hardly waits.

With a session go its sub-agents' sessions, and theirs. Triggers see to the search index and to statistics.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from turso_hooks.drivers import Database, Statement
from turso_hooks.store.migrations import WHOLE_COLUMNS
from turso_hooks.store.pacing import Pace

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

_CHOSEN = "SELECT id FROM sessions WHERE id IN (SELECT value FROM json_each(?)) AND (seen_ms IS NULL OR seen_ms < ?)"
_IS_EMPTY = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {each} WHERE session_id = sessions.id)" for each in _CHILDREN.values())
_IS_UNUSED = " AND ".join(
    f"NOT EXISTS (SELECT 1 FROM {table} WHERE {column}_whole = payloads.id AND {column}_whole IS NOT NULL)"
    for table, column in WHOLE_COLUMNS
)
_IS_ROOT = """(parent_session_id IS NULL OR NOT EXISTS (
    SELECT 1 FROM sessions AS parent WHERE parent.id = sessions.parent_session_id AND parent.id <> sessions.id))"""

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
            setattr(self, entry.name, getattr(self, entry.name) + sign * getattr(other, entry.name))


@dataclass(frozen=True)
class Prunable:
    """Which sessions are to go: SQL on the table `sessions` and its arguments, and that nothing of them was seen since."""

    sql: str = "true"
    arguments: Sequence[Any] = ()
    seen_before_ms: int = ALL_TIME_MS


def newest_kept(database: Database, prunable: Prunable, keep: int) -> tuple[int, str] | None:
    """Of those that are meant the `keep`-th that was seen last: when, and its id; None if there are not so many.

    Reads as many sessions.
    """
    if keep == 0:
        return ALL_TIME_MS, ""
    sql = f"""SELECT seen_ms, id FROM sessions WHERE seen_ms IS NOT NULL AND {prunable.sql} AND {_IS_ROOT}
        ORDER BY seen_ms DESC, id DESC LIMIT 1 OFFSET ?"""
    found = database.execute(sql, (*prunable.arguments, keep - 1), operation=_OPERATION).rows
    return (found[0][0], found[0][1]) if found else None


class Pruner:
    """Removes the sessions that are meant, those that were seen last long ago first. Its methods raise `DatabaseError`.

    A sub-agent's session goes with the one that started it, and not before: unless that is not there at all.
    """

    def __init__(self, database: Database, prunable: Prunable) -> None:
        self.removed = Removed()
        self._database = database
        self._prunable = prunable
        self._after: tuple[int, str] = (-(2**62), "")
        self._trees: list[str] = []
        """The sessions that are being removed, with their sub-agents'."""
        self.pace = Pace(_FIRST_AT_ONCE, _MOST_AT_ONCE, _TARGET_S)

    @classmethod
    def of_session(cls, database: Database, session_id: str) -> Pruner:
        """Removes one session, whenever it was seen, and its sub-agents'."""
        pruner = cls(database, Prunable("false"))
        pruner._trees = pruner._trees_of([session_id])
        return pruner

    @property
    def session_ids(self) -> tuple[str, ...]:
        """The sessions that are being removed."""
        return tuple(self._trees)

    def count(self) -> Removed:
        """What would go. Reads those sessions, and the index entries of what is in them."""
        total, after = Removed(), self._after
        while chosen := self._next_trees():
            total.add(self._count(chosen))
        self._after = after
        return total

    def count_chosen(self) -> Removed:
        """What would go of the sessions that are being removed."""
        return self._count(self._trees)

    def remove_some(self) -> bool:
        """Remove some rows in one transaction; False if there are none. Afterwards others should have as much time."""
        while not self._trees:
            self._trees = self._next_trees()
            if not self._trees:
                return self._remove_payloads()
        before = self._count(self._trees)
        with self.pace.kept() as at_once:
            self._database.transaction(list(self._steps(at_once)), operation=_OPERATION)
        after = self._count(self._trees)
        self.removed.add(before)
        self.removed.add(after, -1)
        if not after.sessions:  # none is left, or what is was seen again
            self._trees = []
        return True

    def remove_all(self) -> Iterator[Removed]:
        """Remove everything that is meant; after each transaction what is gone so far."""
        while True:
            began = time.monotonic()
            if not self.remove_some():
                return
            yield self.removed
            time.sleep(time.monotonic() - began)

    def _remove_payloads(self) -> bool:
        """Remove some large values that nothing refers to any more; False if there are none."""
        if not self.removed.sessions:
            return False
        sql = f"SELECT id FROM payloads WHERE piece = 0 AND {_IS_UNUSED} ORDER BY id LIMIT {_PAYLOADS_AT_ONCE}"
        found = json.dumps([payload_id for (payload_id,) in self._database.execute(sql, operation=_OPERATION).rows])
        sql = f"DELETE FROM payloads WHERE id IN (SELECT value FROM json_each(?)) AND {_IS_UNUSED}"
        self._database.transaction([Statement(sql, [(found,)])], operation=_OPERATION)
        return found != "[]"

    def _steps(self, at_once: int) -> Iterator[Statement]:
        chosen = (json.dumps(self._trees), self._prunable.seen_before_ms)
        for table in _CHILDREN.values():
            rows = f"SELECT {table}.rowid FROM {table} WHERE session_id IN ({_CHOSEN}) LIMIT ?"
            yield Statement(f"DELETE FROM {table} WHERE rowid IN ({rows})", [(*chosen, at_once)])
        yield Statement(f"DELETE FROM sessions WHERE id IN ({_CHOSEN}) AND {_IS_EMPTY}", [chosen])

    def _count(self, session_ids: Sequence[str]) -> Removed:
        chosen = (json.dumps(session_ids), self._prunable.seen_before_ms)
        parts = [f"(SELECT count(*) FROM {table} WHERE session_id IN ({_CHOSEN}))" for table in _CHILDREN.values()]
        sql = f"SELECT (SELECT count(*) FROM ({_CHOSEN})), {', '.join(parts)}"
        counts = self._database.execute(sql, chosen * (1 + len(parts)), operation=_OPERATION).rows[0]
        return Removed(**dict(zip(("sessions", *_CHILDREN), counts, strict=True)))

    def _next_trees(self) -> list[str]:
        """Some sessions that are meant and all sub-agents of theirs; none once there are no more."""
        sql = f"""SELECT seen_ms, id FROM sessions
            WHERE seen_ms >= ? AND (seen_ms > ? OR id > ?) AND seen_ms < ? AND {self._prunable.sql} AND {_IS_ROOT}
            ORDER BY seen_ms, id LIMIT {_TREES_AT_ONCE}"""
        seen_ms, after_id = self._after
        between = (seen_ms, seen_ms, after_id, self._prunable.seen_before_ms)
        while found := self._database.execute(sql, (*between, *self._prunable.arguments), operation=_OPERATION).rows:
            self._after = (found[-1][0], found[-1][1])
            trees = self._trees_of([session_id for _, session_id in found])
            if trees:
                return trees
            between = (self._after[0], self._after[0], self._after[1], self._prunable.seen_before_ms)
        return []

    def _trees_of(self, roots: Sequence[str]) -> list[str]:
        """These sessions with their sub-agents', but for those of whose sub-agents something was seen since."""
        root_of = {root: root for root in roots}
        recent: set[str] = set()
        level = list(roots)
        while level:
            sql = """SELECT id, parent_session_id, seen_ms FROM sessions
                WHERE parent_session_id IN (SELECT value FROM json_each(?)) AND parent_session_id IS NOT NULL"""
            found = self._database.execute(sql, (json.dumps(level),), operation=_OPERATION).rows
            level = []
            for session_id, parent, seen_ms in found:
                if session_id not in root_of:
                    root_of[session_id] = root_of[parent]
                    level.append(session_id)
                    if seen_ms is not None and seen_ms >= self._prunable.seen_before_ms:
                        recent.add(root_of[session_id])
        return [session_id for session_id, root in root_of.items() if root not in recent]
