"""Sessions: lists of them, the one that is meant, and the trees of their sub-agents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from turso_hooks.errors import QueryError, SessionNotFound
from turso_hooks.query.asking import Asker, Newest
from turso_hooks.query.filters import Condition, meant_by
from turso_hooks.query.pages import Page, checked_limit, cursor_of, key_with_id_of
from turso_hooks.query.results import SessionSummary, SessionTree, Totals
from turso_hooks.query.rows import SESSION_COLUMNS, summaries_of

ORDERS = {"started": "occurred_ms", "seen": "seen_ms"}

MOST_DEEP = 50
"""Levels of sub-agents followed; a session that is its own ancestor must not be followed for ever."""

_SHOWN = 5
_SHOWN_CHARS = 100

_IS_NOT_MEANT_BY_ITS_PARENT = """NOT EXISTS (SELECT 1 FROM sessions AS parent WHERE parent.id = sessions.parent_session_id
    AND parent.id <> sessions.id AND parent.id >= ? AND instr(sessions.id, parent.id) = 1)"""
"""Of ids with a beginning: a sub-agent's may begin with that of its session, which is meant if it fits too."""

_TOTALS = {
    "messages": "SELECT session_id, count(*) AS messages FROM messages",
    "tool_executions": "SELECT session_id, count(*) AS tool_calls, sum(status = 'error') AS tool_errors FROM tool_executions",
    "model_calls": """SELECT session_id, count(*) AS model_calls, CAST(total(input_tokens) AS INTEGER) AS input_tokens,
        CAST(total(output_tokens) AS INTEGER) AS output_tokens, total(cost_usd) AS cost_usd FROM model_calls""",
}


def list_sessions(  # noqa: PLR0913  # by name
    asker: Asker, filters: Mapping[str, Any], *, order: str, limit: int, cursor: str | None, with_text: Iterable[str] | None
) -> Page[SessionSummary]:
    """A page of sessions; `with_text` are the ids of those that have the text, if one is looked for."""
    if order not in ORDERS:
        raise QueryError(f"there is no order {order!r:.40}: it is one of {', '.join(ORDERS)}")
    meant = meant_by(filters, asker.now(), with_text)
    what = Newest("sessions", SESSION_COLUMNS, (ORDERS[order], "id"), meant.found_by, meant.checked)
    if order != "started" and meant.found_by.parts:  # no index has both
        what.checked, what.found_by = meant.together(), Condition()
    before = key_with_id_of(cursor) if cursor is not None else None
    rows, after = asker.newest("list sessions", what, checked_limit(limit), before)
    return Page(tuple(summaries_of(rows, asker.now())), cursor_of(*after) if after is not None else None)


def find_session(asker: Asker, prefix: str) -> SessionSummary:
    """The session with an id, or the one whose id begins so. Raises `SessionNotFound`."""
    sql = f"SELECT {SESSION_COLUMNS} FROM sessions WHERE id = ?"
    session_id = find_id(asker, prefix)
    found, _ = asker.some("find a session", lambda most: (f"{sql} LIMIT {most}", (session_id,)), 1)
    if not found.rows:  # somebody has deleted it meanwhile
        raise SessionNotFound(f"there is no session {_shown(session_id)!r} any more")
    return next(summaries_of(found.rows, asker.now()))


def find_id(asker: Asker, prefix: str) -> str:
    """The id of the session that is meant by it or its beginning. Raises `SessionNotFound`."""
    exact = asker.rows("find a session", "SELECT id FROM sessions WHERE id = ?", (prefix,))
    found = exact or asker.rows(
        "find a session",
        f"""SELECT id FROM sessions WHERE id >= ? AND id < ? AND {_IS_NOT_MEANT_BY_ITS_PARENT}
            ORDER BY id LIMIT {_SHOWN + 1}""",
        (prefix, f"{prefix}\U0010ffff", prefix),
    )
    if not found:
        raise SessionNotFound(f"no session's id begins with {_shown(prefix)!r}; to see them all: turso-hooks sessions")
    if len(found) > 1:
        ids = ", ".join(_shown(row["id"]) for row in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        raise SessionNotFound(f"several sessions' ids begin with {_shown(prefix)!r}: {ids}{more}; write more of it")
    session_id: str = found[0]["id"]
    return session_id


def _shown(session_id: str) -> str:
    return session_id if len(session_id) <= _SHOWN_CHARS else f"{session_id[:_SHOWN_CHARS]}…"


def children_of(asker: Asker, session_ids: Iterable[str]) -> list[SessionSummary]:
    """The sessions that these have started, the first of them first."""
    sql = f"""SELECT {SESSION_COLUMNS} FROM sessions
        WHERE parent_session_id IN (SELECT value FROM json_each(?)) AND parent_session_id IS NOT NULL
        ORDER BY occurred_ms, id"""
    found = asker.all("read sub-agents", sql, (json.dumps(list(session_ids)),))
    return list(summaries_of(found, asker.now()))


def session_tree(asker: Asker, root: SessionSummary) -> SessionTree:
    """A session with its sub-agents, theirs and so on, level by level; each session is there once."""
    known = {root.session_id: root}
    children: dict[str, list[str]] = {}
    level = [root.session_id]
    for _ in range(MOST_DEEP):
        following = [child for child in children_of(asker, level) if child.session_id not in known] if level else []
        for child in following:
            children.setdefault(child.parent_session_id or "", []).append(child.session_id)
            known[child.session_id] = child
        level = [child.session_id for child in following]
    totals = _totals_of(asker, known)

    def tree(session_id: str) -> SessionTree:
        below = tuple(tree(child) for child in children.get(session_id, ()))
        own = totals[session_id]
        return SessionTree(session=known[session_id], own=own, total=sum((each.total for each in below), own), children=below)

    return tree(root.session_id)


def _totals_of(asker: Asker, session_ids: Iterable[str]) -> dict[str, Totals]:
    counted: dict[str, dict[str, Any]] = {session_id: {"sessions": 1} for session_id in session_ids}
    for sql in _TOTALS.values():
        where = "WHERE session_id IN (SELECT value FROM json_each(?)) GROUP BY session_id"
        for row in asker.rows("sum up sessions", f"{sql} {where}", (json.dumps(list(counted)),)):
            counted[row.pop("session_id")] |= row
    return {session_id: Totals(**numbers) for session_id, numbers in counted.items()}
