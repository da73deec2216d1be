"""Reading a database: a file on a connection that cannot write, a server with whatever rights the token has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any

from turso_hooks.drivers import Database
from turso_hooks.errors import SessionNotFound
from turso_hooks.events import to_microseconds, utc_now
from turso_hooks.query.results import Conversation, Message, ModelCall, Note, SessionSummary, ToolCall
from turso_hooks.settings import load_settings
from turso_hooks.store import check_version, open_store, schema_version

if TYPE_CHECKING:
    from typing_extensions import Self

_SILENT_FOR = timedelta(hours=24)
"""A session without an end that was silent for this long counts as interrupted."""

_MOST_DEEP = 50
"""Levels of sub-agents followed; a session that is its own ancestor must not be followed for ever."""

_SESSION_SQL = """
    SELECT id, agent_type, model, provider, status, error_message, title, project, user_id, runner, parent_session_id,
        parent_tool_call_id, started_at, ended_at, metadata,
        (SELECT count(*) FROM messages WHERE session_id = sessions.id) AS message_count,
        (SELECT count(*) FROM tool_executions WHERE session_id = sessions.id) AS tool_call_count,
        CASE WHEN status = 'running' THEN max(
            occurred_ms,
            coalesce((SELECT max(occurred_ms) FROM messages WHERE session_id = sessions.id), occurred_ms),
            coalesce((SELECT max(occurred_ms) FROM tool_executions WHERE session_id = sessions.id), occurred_ms),
            coalesce((SELECT max(occurred_ms) FROM model_calls WHERE session_id = sessions.id), occurred_ms)
        ) END AS seen_ms
    FROM sessions"""

_MESSAGES_SQL = """
    SELECT id, role, content, parts, tool_call_id, tool_name, model, token_count, created_at, position, metadata
    FROM messages WHERE session_id = ? ORDER BY occurred_ms, created_at, position, id"""

_TOOL_CALLS_SQL = """
    SELECT id, tool_call_id, tool_name, status, input, output, error, started_at, ended_at, duration_ms, position, metadata
    FROM tool_executions WHERE session_id = ? ORDER BY occurred_ms, started_at, position, id"""

_MODEL_CALLS_SQL = """
    SELECT id, model, provider, status, input_tokens, output_tokens, duration_ms, finish_reason, cost_usd, error, started_at,
        position, metadata
    FROM model_calls WHERE session_id = ? ORDER BY occurred_ms, started_at, position, id"""

_NOTES_SQL = """
    SELECT id, name, payload, occurred_at, position, metadata
    FROM notes WHERE session_id = ? ORDER BY occurred_ms, occurred_at, position, id"""


def connect_sync(url: str | None = None, auth_token: str | None = None) -> Reader:
    """Open a database for reading: the one at `url`, or else the one the environment names, with its token.

    Raises `SettingsError` if there is none, or its URL cannot be read.
    """
    return Reader(open_store(load_settings(database_url=url, auth_token=auth_token), read_only=True))


_IS_NOT_MEANT_BY_ITS_PARENT = """NOT EXISTS (SELECT 1 FROM sessions AS parent WHERE parent.id = sessions.parent_session_id
    AND parent.id <> sessions.id AND parent.id >= ? AND instr(sessions.id, parent.id) = 1)"""
"""Of ids with a beginning: a sub-agent's may begin with that of its session, which is meant if it fits too."""


class Reader:
    """Reads sessions, and writes nothing. Every method raises `DatabaseError` as it comes. To be used by one thread at a time.

    A database with a newer schema is refused: what its columns mean is not known here.
    """

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._now = now
        self._is_checked = False

    def __enter__(self) -> Self:
        """Nothing is opened before it is read."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def list_sessions(self, *, limit: int = 50) -> list[SessionSummary]:
        """The newest sessions, newest first.

        Reads as many rows as `limit`, the index entries of what is in them, and the rows in those that are running.
        """
        sql = f"{_SESSION_SQL} ORDER BY occurred_ms DESC, id DESC LIMIT ?"
        return [self._summary(row) for row in self._rows("list sessions", sql, (limit,))]

    def get_session(self, session_id: str) -> Conversation:
        """A session with all that is in it, by its id or the beginning of it. Raises `SessionNotFound`."""
        return self._conversation(self._find(session_id), [])

    def _find(self, prefix: str) -> SessionSummary:
        exact = self._rows("find a session", f"{_SESSION_SQL} WHERE id = ?", (prefix,))
        found = exact or self._rows(
            "find a session",
            f"{_SESSION_SQL} WHERE id >= ? AND id < ? AND {_IS_NOT_MEANT_BY_ITS_PARENT} ORDER BY id LIMIT 6",
            (prefix, f"{prefix}\U0010ffff", prefix),
        )
        if not found:
            raise SessionNotFound(f"no session's id begins with {prefix!r}; to see them all: turso-hooks sessions")
        if len(found) > 1:
            ids = ", ".join(row["id"] for row in found[:5])
            more = ", …" if len(found) > 5 else ""  # noqa: PLR2004  # one more than are shown was asked for
            raise SessionNotFound(f"several sessions' ids begin with {prefix!r}: {ids}{more}; write more of it")
        return self._summary(found[0])

    def _conversation(self, session: SessionSummary, ancestors: list[str]) -> Conversation:
        key = (session.session_id,)
        path = [*ancestors, session.session_id]
        children = self._rows("read sub-agents", f"{_SESSION_SQL} WHERE parent_session_id = ? ORDER BY occurred_ms, id", key)
        summaries = [self._summary(row) for row in children] if len(path) < _MOST_DEEP else []
        return Conversation(
            session=session,
            messages=[_message(row) for row in self._rows("read messages", _MESSAGES_SQL, key)],
            tool_calls=[_tool_call(row) for row in self._rows("read tool calls", _TOOL_CALLS_SQL, key)],
            model_calls=[_model_call(row) for row in self._rows("read model calls", _MODEL_CALLS_SQL, key)],
            notes=[_note(row) for row in self._rows("read notes", _NOTES_SQL, key)],
            children=[self._conversation(child, path) for child in summaries if child.session_id not in path],
        )

    def _rows(self, operation: str, sql: str, arguments: Iterable[Any]) -> list[dict[str, Any]]:
        if not self._is_checked:
            check_version(schema_version(self._database, operation), self._database.name)
            self._is_checked = True
        result = self._database.execute(sql, tuple(arguments), operation=operation)
        return [dict(zip(result.columns, row, strict=True)) for row in result.rows]

    def _summary(self, row: dict[str, Any]) -> SessionSummary:
        is_silent = (row["seen_ms"] or 0) * 1000 < to_microseconds(self._now() - _SILENT_FOR)
        status = "interrupted" if row["status"] == "running" and is_silent else row["status"]
        names = ("agent_type", "model", "provider", "error_message", "title", "project", "user_id", "runner")
        links = ("parent_session_id", "parent_tool_call_id", "message_count", "tool_call_count")
        return SessionSummary(
            session_id=row["id"],
            status=status,
            started_at=_time(row["started_at"]),
            ended_at=_time(row["ended_at"]),
            metadata=_json(row["metadata"]),
            **{name: row[name] for name in (*names, *links)},
        )


def _message(row: dict[str, Any]) -> Message:
    names = ("role", "content", "tool_call_id", "tool_name", "model", "token_count")
    return Message(**_entry(row, "created_at"), **{name: row[name] for name in names}, parts=_json(row["parts"]))


def _tool_call(row: dict[str, Any]) -> ToolCall:
    names = ("tool_call_id", "tool_name", "status", "error", "duration_ms")
    return ToolCall(
        **_entry(row, "started_at"),
        **{name: row[name] for name in names},
        input=_json(row["input"]),
        output=_json(row["output"]),
        ended_at=_time(row["ended_at"]),
    )


def _model_call(row: dict[str, Any]) -> ModelCall:
    names = ("model", "provider", "status", "input_tokens", "output_tokens", "duration_ms", "finish_reason", "cost_usd")
    return ModelCall(**_entry(row, "started_at"), **{name: row[name] for name in (*names, "error")})


def _note(row: dict[str, Any]) -> Note:
    return Note(**_entry(row, "occurred_at"), name=row["name"], payload=_json(row["payload"]))


def _entry(row: dict[str, Any], time_column: str) -> dict[str, Any]:
    return {
        "row_id": row["id"],
        "occurred_at": _time(row[time_column]),
        "position": row["position"],
        "metadata": _json(row["metadata"]),
    }


def _time(text: str | None) -> datetime | None:
    """A time in either form that is in a database, ours or the original logger's; None if it is neither."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _json(text: Any) -> Any:
    """What a JSON column holds; text that is no JSON, which another program may have written, as it is."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
