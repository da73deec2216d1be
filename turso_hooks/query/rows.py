"""Rows of a database to results, and the SQL that gives them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from turso_hooks.query.filters import silent_before
from turso_hooks.query.results import Message, ModelCall, Note, SessionSummary, ToolCall

Row = Mapping[str, Any]

SESSION_COLUMNS = """id, agent_type, model, provider, status, error_message, title, project, user_id, runner, parent_session_id,
    parent_tool_call_id, started_at, ended_at, metadata, seen_ms, occurred_ms,
    (SELECT count(*) FROM messages WHERE session_id = sessions.id) AS message_count,
    (SELECT count(*) FROM tool_executions WHERE session_id = sessions.id) AS tool_call_count"""

MESSAGE_COLUMNS = """id, session_id, role, content, parts, tool_call_id, tool_name, model, token_count, created_at, occurred_ms,
    position, metadata"""

TOOL_CALL_COLUMNS = """id, session_id, tool_call_id, tool_name, status, input, output, error, started_at, ended_at, duration_ms,
    occurred_ms, position, metadata"""

MODEL_CALL_COLUMNS = """id, session_id, model, provider, status, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, duration_ms, time_to_first_token_ms, finish_reason, cost_usd, error, started_at,
    occurred_ms, position, metadata"""

NOTE_COLUMNS = "id, session_id, name, payload, occurred_at, occurred_ms, position, metadata"


def summary_of(row: Row, now: datetime) -> SessionSummary:
    """A session."""
    is_silent = (row["seen_ms"] or 0) < silent_before(now)
    names = ("agent_type", "model", "provider", "error_message", "title", "project", "user_id", "runner")
    links = ("parent_session_id", "parent_tool_call_id", "message_count", "tool_call_count")
    return SessionSummary(
        session_id=row["id"],
        status="interrupted" if row["status"] == "running" and is_silent else row["status"],
        started_at=_time(row["started_at"]),
        ended_at=_time(row["ended_at"]),
        seen_at=moment_of(row["seen_ms"]),
        metadata=json_of(row["metadata"]),
        **{name: row[name] for name in (*names, *links)},
    )


def message_of(row: Row) -> Message:
    """A message."""
    names = ("role", "content", "tool_call_id", "tool_name", "model", "token_count")
    return Message(**_entry(row, "created_at"), **{name: row[name] for name in names}, parts=json_of(row["parts"]))


def tool_call_of(row: Row) -> ToolCall:
    """A tool call."""
    names = ("tool_call_id", "tool_name", "status", "error", "duration_ms")
    return ToolCall(
        **_entry(row, "started_at"),
        **{name: row[name] for name in names},
        input=json_of(row["input"]),
        output=json_of(row["output"]),
        ended_at=_time(row["ended_at"]),
    )


def model_call_of(row: Row) -> ModelCall:
    """A model call."""
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    names = ("model", "provider", "status", "duration_ms", "time_to_first_token_ms", "finish_reason", "cost_usd", "error")
    return ModelCall(**_entry(row, "started_at"), **{name: row[name] for name in (*tokens, *names)})


def note_of(row: Row) -> Note:
    """A note."""
    return Note(**_entry(row, "occurred_at"), name=row["name"], payload=json_of(row["payload"]))


def json_of(text: Any) -> Any:
    """What a JSON column holds; text that is no JSON, which another program may have written, as it is."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _entry(row: Row, time_column: str) -> dict[str, Any]:
    return {
        "row_id": row["id"],
        "session_id": row["session_id"],
        "occurred_at": _time(row[time_column]),
        "position": row["position"],
        "metadata": json_of(row["metadata"]),
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


def moment_of(milliseconds: int | None) -> datetime | None:
    """A time; None if it is unknown, or beyond what a datetime can say."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
