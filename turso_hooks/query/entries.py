"""What is in sessions: messages, tool calls, model calls, whole conversations, and what was logged last."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from turso_hooks.drivers import Rows
from turso_hooks.errors import QueryError
from turso_hooks.query.asking import MOST_LOOKED_AT, Asker, Newest, named
from turso_hooks.query.filters import Condition
from turso_hooks.query.pages import (
    MOST_ON_A_PAGE,
    Page,
    checked_limit,
    cursor_of,
    iter_pages,
    json_cursor,
    key_with_id_of,
    wrong_cursor,
)
from turso_hooks.query.results import Conversation, Message, SessionSummary, Tail, ToolCall, moment_of_entry
from turso_hooks.query.rows import (
    MESSAGE_COLUMNS,
    MODEL_CALL_COLUMNS,
    NOTE_COLUMNS,
    SESSION_COLUMNS,
    TOOL_CALL_COLUMNS,
    WHOLE,
    Row,
    message_of,
    model_call_of,
    note_of,
    summaries_of,
    tool_call_of,
)
from turso_hooks.query.sessions import MOST_DEEP, children_of
from turso_hooks.store import is_shown_of

_LEAST = -(2**63)
"""Stands for a time or a position that is unknown, which come first."""

_POSITION = f"CASE WHEN typeof(position) IN ('integer', 'real') THEN position ELSE {_LEAST} END"
_MOST_RUNNING = 100
"""Calls of which a tail will tell that they are over."""


class Kind(NamedTuple):
    """A table of entries."""

    table: str
    columns: str
    time_column: str
    to_result: Callable[[Row], Any]

    @property
    def order(self) -> str:
        """SQL: reading order."""
        return f"occurred_ms, {_as_text(self.time_column)}, {_POSITION}, {_as_text('id')}"

    def key_of(self, row: Mapping[str, Any]) -> list[Any]:
        """The place of a row in it."""
        position = row["position"] if isinstance(row["position"], (int, float)) else _LEAST
        occurred_ms = _LEAST if row["occurred_ms"] is None else row["occurred_ms"]
        return [occurred_ms, _key_text(row[self.time_column]), position, _key_text(row["id"])]

    def add_after(self, where: Condition, key: Sequence[Any]) -> None:
        """Only what comes after a key."""
        columns = (f"coalesce(occurred_ms, {_LEAST})", _as_text(self.time_column), _POSITION, _as_text("id"))
        sql, arguments = f"{columns[-1]} > ?", [key[-1]]
        for column, value in reversed(list(zip(columns[:-1], key[:-1], strict=True))):
            sql, arguments = f"({column} > ? OR ({column} = ? AND {sql}))", [value, value, *arguments]
        where.add(sql, *arguments)
        if key[0] > _LEAST:
            where.add("occurred_ms >= ?", key[0])  # what an index can find


def _as_text(column: str) -> str:
    """SQL: a column that other programs may have put bytes into, which no cursor can hold."""
    return f"CASE typeof({column}) WHEN 'text' THEN {column} ELSE hex({column}) END"


def _key_text(value: Any) -> str:
    """The same of a value."""
    return value if isinstance(value, str) else value.hex().upper() if isinstance(value, bytes) else ""


MESSAGES = Kind("messages", MESSAGE_COLUMNS, "created_at", message_of)
TOOL_CALLS = Kind("tool_executions", TOOL_CALL_COLUMNS, "started_at", tool_call_of)
MODEL_CALLS = Kind("model_calls", MODEL_CALL_COLUMNS, "started_at", model_call_of)
NOTES = Kind("notes", NOTE_COLUMNS, "occurred_at", note_of)


KINDS = {"messages": MESSAGES, "tool_calls": TOOL_CALLS, "model_calls": MODEL_CALLS, "notes": NOTES}
"""What there is in a conversation."""


def conversation_of(
    asker: Asker,
    session: SessionSummary,
    only: Collection[str] | None,
    *,
    with_children: bool = True,
    ancestors: tuple[str, ...] = (),
) -> Conversation:
    """A session with all that is in it, or `only` some kinds of that, and its sub-agents'."""
    if unknown := set(only or ()) - KINDS.keys():
        raise QueryError(f"there is no {min(unknown)!r:.40} in a session: only takes {', '.join(KINDS)}")
    path = (*ancestors, session.session_id)
    children = children_of(asker, [session.session_id]) if with_children and len(path) < MOST_DEEP else []

    def all_of(name: str) -> list[Any]:
        if only is not None and name not in only:
            return []
        ask = partial(in_session, asker, KINDS[name], session.session_id, Condition(), limit=MOST_ON_A_PAGE)
        return [each for page in iter_pages(ask) for each in page]

    return Conversation(
        session=session,
        **{name: all_of(name) for name in KINDS},
        children=[conversation_of(asker, child, only, ancestors=path) for child in children if child.session_id not in path],
    )


def in_session(  # noqa: PLR0913  # by name
    asker: Asker, kind: Kind, session_id: str, where: Condition, *, limit: int, cursor: str | None
) -> Page[Any]:
    """A page of what is in a session, in reading order."""
    here = Condition(["session_id = ?", *where.parts], [session_id, *where.arguments])
    if cursor is not None:
        key = json_cursor(cursor, 4)
        if any(isinstance(part, list) for part in key):
            raise wrong_cursor(cursor)
        kind.add_after(here, key)
    sql = f"SELECT {kind.columns} FROM {kind.table} WHERE {here.sql} ORDER BY {kind.order} LIMIT "
    found, has_more = asker.some(f"read {kind.table}", lambda most: (f"{sql}{most}", here.arguments), checked_limit(limit))
    following = json.dumps(kind.key_of(named(found, -1))) if has_more else None
    return Page(tuple(map(kind.to_result, _with_payloads(asker, found))), following)


def _with_payloads(asker: Asker, found: Rows) -> Iterable[Row]:
    """Rows with the whole of what is too large for them. What somebody has deleted meanwhile stays cut."""
    places = [
        (found.columns.index(name.removesuffix(WHOLE)), place)
        for place, name in enumerate(found.columns)
        if name.endswith(WHOLE)
    ]
    wanted = {row[whole] for row in found.rows for _, whole in places if row[whole] is not None}
    if not wanted:
        return found.rows
    sql = "SELECT id, text FROM payloads WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id, piece"
    pieces: defaultdict[str, list[str]] = defaultdict(list)
    for payload_id, text in asker.all("read large values", sql, (json.dumps(sorted(wanted)),)):
        pieces[payload_id].append(text)
    texts = {payload_id: "".join(found) for payload_id, found in pieces.items()}
    rows = [list(row) for row in found.rows]
    for row in rows:
        for column, whole in places:
            if row[whole] in texts:
                if is_shown_of(row[column], texts[row[whole]]):
                    row[column] = texts[row[whole]]
                row[whole] = None
    return map(tuple, rows)


def newest_tool_calls(
    asker: Asker, where: Condition, of_session: Condition, *, limit: int, cursor: str | None
) -> Page[ToolCall]:
    """A page of the tool calls of all sessions, those that were logged last first."""
    if of_session.parts:
        where.add(_session_is("tool_executions", of_session), *of_session.arguments)
    what = Newest("tool_executions", f"{TOOL_CALL_COLUMNS}, rowid", ("rowid", "id"), Condition(), where)
    rows, after = asker.newest(
        "list tool calls", what, checked_limit(limit), key_with_id_of(cursor) if cursor is not None else None
    )
    return Page(tuple(map(tool_call_of, rows)), cursor_of(*after) if after is not None else None)


def tail(asker: Asker, of_session: Condition, session_id: str | None, *, limit: int, cursor: str | None) -> Tail:
    """What was logged last; after `cursor`, what was logged since, and calls that were running then and are over."""
    place = _place_of(cursor) if cursor is not None else None
    last = _last_arrivals(asker)  # first: what comes while the rest is read is for the next look
    entries: list[Message | ToolCall] = []
    arrived: dict[str, int] = {}
    for kind, after in ((MESSAGES, place and place.message), (TOOL_CALLS, place and place.tool_call)):
        until = arrived[kind.table] = last[kind.table] if after is None else min(last[kind.table], after + MOST_LOOKED_AT)
        if after is not None and until <= after:
            continue
        ask = partial(_arrived, kind, of_session, session_id, after=after, until=until)
        found, is_cut = asker.some("read what came last", ask, checked_limit(limit))
        if is_cut and after is not None:
            arrived[kind.table] = found.rows[-1][-1]
        entries += map(kind.to_result, found.rows)
    running = place.running if place is not None else []
    if running:
        is_over = "id IN (SELECT value FROM json_each(?)) AND status <> 'running'"
        sql, arguments = f"SELECT {TOOL_CALL_COLUMNS} FROM tool_executions WHERE {is_over} LIMIT ", (json.dumps(running),)
        found, _ = asker.some("look at running calls", lambda most: (f"{sql}{most}", arguments), len(running))
        entries += map(tool_call_of, found.rows)
    entries.sort(key=moment_of_entry)
    entries = entries if place is not None else entries[-limit:]
    calls = {entry.row_id: entry.status for entry in entries if isinstance(entry, ToolCall)}
    still_running = [each for each in dict.fromkeys([*running, *calls]) if calls.get(each, "running") == "running"]
    return Tail(
        entries=tuple(entries),
        sessions=_sessions(asker, {entry.session_id for entry in entries}),
        cursor=json.dumps(_Place(arrived["messages"], arrived["tool_executions"], still_running[-_MOST_RUNNING:])),
    )


class _Place(NamedTuple):
    """How far a tail was read."""

    message: int
    """The rowid of the last one, which grows with each that is logged."""
    tool_call: int
    running: list[str]


def _place_of(cursor: str) -> _Place:
    message, tool_call, running = json_cursor(cursor, 3)
    if not isinstance(tool_call, int) or not isinstance(running, list) or not all(isinstance(each, str) for each in running):
        raise wrong_cursor(cursor)
    return _Place(message, tool_call, running)


def _arrived(  # noqa: PLR0913  # by name
    kind: Kind, of_session: Condition, session_id: str | None, limit: int, *, after: int | None, until: int
) -> tuple[str, list[Any]]:
    """SQL and arguments for what was logged after a row and until another, or last."""
    where = Condition(["rowid <= ?"], [until])
    if session_id is not None and after is None:
        where.add("session_id = ?", session_id)
    elif session_id is not None:
        where.add("+session_id = ?", session_id)  # the rows are found by their rowids
    if of_session.parts:
        where.add(_session_is(kind.table, of_session), *of_session.arguments)
    columns = f"SELECT {kind.columns}, rowid FROM {kind.table}"
    if after is not None:
        where.add("rowid > ?", after)
        return f"{columns} WHERE {where.sql} ORDER BY rowid LIMIT {limit}", where.arguments
    if session_id is None and of_session.parts:
        where.add(f"rowid > (SELECT max(rowid) FROM {kind.table}) - {MOST_LOOKED_AT}")
    order = "rowid" if session_id is None else "occurred_ms"
    return f"{columns} WHERE {where.sql} ORDER BY {order} DESC LIMIT {limit}", where.arguments


def _session_is(table: str, of_session: Condition) -> str:
    return f"EXISTS (SELECT 1 FROM sessions WHERE sessions.id = {table}.session_id AND {of_session.sql})"


def _last_arrivals(asker: Asker) -> dict[str, int]:
    """The rowid of each table's last row."""
    tables = (MESSAGES.table, TOOL_CALLS.table)
    sql = "SELECT " + ", ".join(f"(SELECT coalesce(max(rowid), 0) FROM {table})" for table in tables)
    return dict(zip(tables, asker.result("look for the last rows", sql).rows[0], strict=True))


def _sessions(asker: Asker, session_ids: Iterable[str]) -> dict[str, SessionSummary]:
    sql = f"SELECT {SESSION_COLUMNS} FROM sessions WHERE id IN (SELECT value FROM json_each(?))"
    found = asker.all("read sessions", sql, (json.dumps(list(session_ids)),))
    return {session.session_id: session for session in summaries_of(found, asker.now())}
