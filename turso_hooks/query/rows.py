"""Rows of a database to results, and the SQL that gives them. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from turso_hooks.query.filters import silent_before
from turso_hooks.query.results import Message, ModelCall, Note, SessionSummary, ToolCall

Row = tuple[Any, ...]

_KNOWS_Z = sys.version_info >= (3, 11)
"""Whether `datetime.fromisoformat` does."""

SESSION_COLUMNS = """id, agent_type, model, provider, status, error_message, title, project, user_id, runner, parent_session_id,
    parent_tool_call_id, started_at, ended_at, metadata, seen_ms, occurred_ms,
    (SELECT count(*) FROM messages WHERE session_id = sessions.id) AS message_count,
    (SELECT count(*) FROM tool_executions WHERE session_id = sessions.id) AS tool_call_count"""

MESSAGE_COLUMNS = """id, session_id, role, content, parts, tool_call_id, tool_name, model, token_count, created_at, occurred_ms,
    position, metadata, content_whole, parts_whole"""

TOOL_CALL_COLUMNS = """id, session_id, tool_call_id, tool_name, status, input, output, error, started_at, ended_at, duration_ms,
    occurred_ms, position, metadata, input_whole, output_whole"""

MODEL_CALL_COLUMNS = """id, session_id, model, provider, status, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, duration_ms, time_to_first_token_ms, finish_reason, cost_usd, error, started_at,
    occurred_ms, position, metadata"""

NOTE_COLUMNS = "id, session_id, name, payload, occurred_at, occurred_ms, position, metadata, payload_whole"

WHOLE = "_whole"
"""The end of the name of a column that says which payload the whole of another one is."""


def summaries_of(rows: Iterable[Row], now: datetime) -> Iterator[SessionSummary]:
    """Sessions, of rows of `SESSION_COLUMNS`."""
    silent_ms = silent_before(now)
    for row in rows:
        # fmt: off
        (session_id, agent_type, model, provider, status, error_message, title, project, user_id, runner, parent_session_id,
         parent_tool_call_id, started_at, ended_at, metadata, seen_ms, _, message_count, tool_call_count) = row
        # fmt: on
        yield SessionSummary(
            session_id=session_id if type(session_id) is str else text_of(session_id),
            agent_type=agent_type,
            model=model,
            provider=provider,
            status="interrupted" if status == "running" and (seen_ms or 0) < silent_ms else text_of(status),
            error_message=error_message,
            title=title,
            project=project,
            user_id=user_id,
            runner=runner,
            parent_session_id=parent_session_id,
            parent_tool_call_id=parent_tool_call_id,
            started_at=time_of(started_at),
            ended_at=time_of(ended_at),
            seen_at=moment_of(seen_ms),
            message_count=message_count,
            tool_call_count=tool_call_count,
            metadata=json_of(metadata),
        )


def message_of(row: Row) -> Message:
    """A message, of a row of `MESSAGE_COLUMNS`."""
    # fmt: off
    (row_id, session_id, role, content, parts, tool_call_id, tool_name, model, token_count, created_at, _, position,
     metadata, content_whole, parts_whole, *_) = row
    # fmt: on
    return Message(
        row_id=row_id if type(row_id) is str else text_of(row_id),
        session_id=session_id if type(session_id) is str else text_of(session_id),
        occurred_at=time_of(created_at),
        position=_number(position),
        metadata=json_of(metadata),
        role=role,
        content=content,
        parts=json_of(parts),
        tool_call_id=tool_call_id,
        tool_name=tool_name,
        model=model,
        token_count=_number(token_count),
        cut=_cut(content=content_whole, parts=parts_whole),
    )


def tool_call_of(row: Row) -> ToolCall:
    """A tool call, of a row of `TOOL_CALL_COLUMNS`."""
    # fmt: off
    (row_id, session_id, tool_call_id, tool_name, status, called_with, output, error, started_at, ended_at, duration_ms, _,
     position, metadata, input_whole, output_whole, *_) = row
    # fmt: on
    return ToolCall(
        row_id=row_id if type(row_id) is str else text_of(row_id),
        session_id=session_id if type(session_id) is str else text_of(session_id),
        occurred_at=time_of(started_at),
        position=_number(position),
        metadata=json_of(metadata),
        tool_call_id=tool_call_id,
        tool_name=tool_name,
        status=text_of(status),
        input=json_of(called_with),
        output=json_of(output),
        error=None if error is None else text_of(error),
        ended_at=time_of(ended_at),
        duration_ms=_number(duration_ms),
        cut=_cut(input=input_whole, output=output_whole),
    )


def model_call_of(row: Row) -> ModelCall:
    """A model call, of a row of `MODEL_CALL_COLUMNS`."""
    # fmt: off
    (row_id, session_id, model, provider, status, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
     reasoning_tokens, duration_ms, time_to_first_token_ms, finish_reason, cost_usd, error, started_at, _, position,
     metadata) = row
    # fmt: on
    return ModelCall(
        row_id=row_id if type(row_id) is str else text_of(row_id),
        session_id=session_id if type(session_id) is str else text_of(session_id),
        occurred_at=time_of(started_at),
        position=_number(position),
        metadata=json_of(metadata),
        model=model,
        provider=provider,
        status=text_of(status),
        input_tokens=_number(input_tokens),
        output_tokens=_number(output_tokens),
        cache_read_tokens=_number(cache_read_tokens),
        cache_write_tokens=_number(cache_write_tokens),
        reasoning_tokens=_number(reasoning_tokens),
        duration_ms=_number(duration_ms),
        time_to_first_token_ms=_number(time_to_first_token_ms),
        finish_reason=finish_reason,
        cost_usd=_number(cost_usd),
        error=None if error is None else text_of(error),
    )


def note_of(row: Row) -> Note:
    """A note, of a row of `NOTE_COLUMNS`."""
    row_id, session_id, name, payload, occurred_at, _, position, metadata, payload_whole = row
    return Note(
        row_id=row_id if type(row_id) is str else text_of(row_id),
        session_id=session_id if type(session_id) is str else text_of(session_id),
        occurred_at=time_of(occurred_at),
        position=_number(position),
        metadata=json_of(metadata),
        name=name,
        payload=json_of(payload),
        cut=_cut(payload=payload_whole),
    )


def _cut(**wholes: str | None) -> tuple[str, ...]:
    """The columns of which the whole is elsewhere."""
    return tuple(column for column, whole in wholes.items() if whole is not None)


def text_of(value: Any) -> str:
    """Text; what another program has written as something else, as text."""
    if value is None or isinstance(value, str):
        return value or ""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _number(value: Any) -> Any:
    """A number; None if another program has written what is none."""
    return value if isinstance(value, (int, float)) else None


def json_of(text: Any) -> Any:
    """What a JSON column holds; text that is no JSON, which another program may have written, as it is."""
    if not isinstance(text, str):
        return text_of(text) if isinstance(text, bytes) else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def time_of(text: str | None) -> datetime | None:
    """A time in either form that is in a database, ours or the original logger's; None if it is neither."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text if _KNOWS_Z else text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def moment_of(milliseconds: int | None) -> datetime | None:
    """A time; None if it is unknown, or beyond what a datetime can say."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
