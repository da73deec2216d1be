"""Events to rows: one event, one row. Pure.

The values of a row stand in the order of its table's `columns`. Unknown is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    microseconds_to_text,
    row_id,
    row_id_of,
    to_microseconds,
)
from turso_hooks.store.rows.json_text import to_json
from turso_hooks.store.rows.merging import Table
from turso_hooks.store.rows.payloads import LARGE_CHARS, LARGE_TEXT_CHARS, Payload, Payloads
from turso_hooks.store.rows.precedence import precedence_key, status_key
from turso_hooks.store.rows.tables import MESSAGES, MODEL_CALLS, NOTES, SESSIONS, TOOL_EXECUTIONS

_NO_USAGE = Usage()
_INT64 = range(-(2**63), 2**63)


_TableRow = tuple[Table, tuple[Any, ...]]
_State = tuple[str, int, str | None, str, str]
"""started_at, occurred_ms, ended_at, status, status_key of a call."""


class Row(NamedTuple):
    """A row of `table`: its values, the session it belongs to, when that was seen (text, and milliseconds), large values."""

    table: Table
    values: tuple[Any, ...]
    session_id: str
    seen_at: str
    seen_ms: int
    payloads: Sequence[Payload] = ()


class _Born(NamedTuple):
    """When an event happened, in the forms rows need, the precedence of what it says, and what of it is large."""

    text: str
    milliseconds: int
    microseconds: int
    key: str
    large: Payloads


def row_of(event: Event) -> Row:
    """The row an event becomes."""
    microseconds = to_microseconds(event.occurred_at)
    key = precedence_key(event.source_rank, microseconds, event.event_id)
    born = _Born(microseconds_to_text(microseconds), microseconds // 1000, microseconds, key, Payloads())
    table, values = _ROWS[type(event)](event, born)
    return Row(table, values, event.session_id, born.text, born.milliseconds, born.large)


def _session_started(event: SessionStarted, born: _Born) -> _TableRow:
    known = (
        event.agent_type,
        event.model,
        event.provider,
        event.parent_session_id,
        event.parent_tool_call_id,
        event.title,
        event.project,
        event.user_id,
        event.runner,
        to_json(event.metadata),
    )
    state = (born.text, born.milliseconds, 1, None, "running", None, _session_status_key(event, born), born.milliseconds)
    return SESSIONS, (event.session_id, *known, *state, born.key)


def _session_ended(event: SessionEnded, born: _Born) -> _TableRow:
    status = event.status or ("completed" if event.error_message is None else "error")
    unknown = (None,) * 9
    key = _session_status_key(event, born)
    state = (born.text, born.milliseconds, 0, born.text, status, event.error_message, key, born.milliseconds)
    return SESSIONS, (event.session_id, *unknown, to_json(event.metadata), *state, born.key)


def _message_added(event: MessageAdded, born: _Born) -> _TableRow:
    text, parts = _content(event.content)
    is_output = event.role == "tool"
    text, whole_text = born.large.text(text, LARGE_CHARS if is_output else LARGE_TEXT_CHARS)
    parts, whole_parts = born.large.json(parts)
    output, whole_output = born.large.json(event.content) if is_output else (None, None)
    values = (
        row_id_of(event),
        event.session_id,
        event.role,
        text,
        whole_text,
        parts,
        whole_parts,
        event.tool_name,
        output,
        whole_output,
        event.tool_call_id,
        event.model,
        _integer(event.token_count),
        born.text,
        born.milliseconds,
        _integer(event.position),
        to_json(event.metadata),
        born.key,
        event.session_id,  # once more, for its `sequence`
    )
    return MESSAGES, values


def _tool_call_started(event: ToolCallStarted, born: _Born) -> _TableRow:
    return _tool_call(event, born, None, None, None, _running(born))


def _tool_call_finished(event: ToolCallFinished, born: _Born) -> _TableRow:
    duration_ms = _milliseconds(event.duration_ms)
    state = _over(born, duration_ms, event.status, event.error, event.started_at)
    return _tool_call(event, born, event.output, event.error, duration_ms, state)


def _tool_call(  # noqa: PLR0913, PLR0917  # the columns in which start and end differ
    event: ToolCallStarted | ToolCallFinished,
    born: _Born,
    output: Any,
    error: str | None,
    duration_ms: int | None,
    state: _State,
) -> _TableRow:
    message = row_id(event.session_id, MessageAdded.row_kind, event.message_id) if event.message_id else None
    values = (
        row_id_of(event),
        event.session_id,
        event.tool_name,
        *born.large.json(event.input),
        *born.large.json(output),
        error,
        duration_ms,
        event.tool_call_id,
        message,
        _integer(event.position),
        to_json(event.metadata),
        *state,
        born.key,
    )
    return TOOL_EXECUTIONS, values


def _model_call_started(event: ModelCallStarted, born: _Born) -> _TableRow:
    return _model_call(event, born, (None,) * 10, _running(born))


def _model_call_finished(event: ModelCallFinished, born: _Born) -> _TableRow:
    usage = event.usage or _NO_USAGE
    duration_ms = _milliseconds(event.duration_ms)
    result = (
        _integer(usage.input),
        _integer(usage.output),
        _integer(usage.cache_read),
        _integer(usage.cache_write),
        _integer(usage.reasoning),
        duration_ms,
        _milliseconds(event.time_to_first_token_ms),
        event.finish_reason,
        _finite(event.cost_usd),
        event.error,
    )
    return _model_call(event, born, result, _over(born, duration_ms, None, event.error, event.started_at))


def _model_call(event: ModelCallStarted | ModelCallFinished, born: _Born, result: tuple[Any, ...], state: _State) -> _TableRow:
    call = (row_id_of(event), event.session_id, event.model_call_id, event.model, event.provider)
    return MODEL_CALLS, (*call, *result, _integer(event.position), to_json(event.metadata), *state, born.key)


def _note_added(event: NoteAdded, born: _Born) -> _TableRow:
    said = (event.name, *born.large.json(event.payload), born.text, born.milliseconds, _integer(event.position))
    return NOTES, (row_id_of(event), event.session_id, *said, to_json(event.metadata), born.key)


_ROWS: dict[type[Event], Callable[[Any, _Born], _TableRow]] = {
    SessionStarted: _session_started,
    SessionEnded: _session_ended,
    MessageAdded: _message_added,
    ToolCallStarted: _tool_call_started,
    ToolCallFinished: _tool_call_finished,
    ModelCallStarted: _model_call_started,
    ModelCallFinished: _model_call_finished,
    NoteAdded: _note_added,
}


def _session_status_key(event: Event, born: _Born) -> str:
    is_end = isinstance(event, SessionEnded)
    return status_key(event.source_rank, born.microseconds, event.event_id, is_end=is_end)


def _running(born: _Born) -> _State:
    return born.text, born.milliseconds, None, "running", f"0{born.key}"


def _over(
    born: _Born, duration_ms: int | None, status: str | None, error: str | None, began_at: datetime | None = None
) -> _State:
    """The state of a call that is over: it began when it says, or its duration before."""
    started_at, started_us = born.text, born.microseconds - 1000 * (duration_ms or 0)
    if began_at is not None:
        started_us = to_microseconds(began_at)
    try:
        started_at = microseconds_to_text(started_us)
    except OverflowError:  # a duration of millennia says nothing
        started_us = born.microseconds
    status = status or ("completed" if error is None else "error")
    return started_at, started_us // 1000, born.text, status, f"{0 if status == 'running' else 1}{born.key}"


def _content(content: Any) -> tuple[str | None, Sequence[Any] | None]:
    """The plain text of a message, and its parts if it has any."""
    if content is None or isinstance(content, str):
        return content, None
    parts = content if isinstance(content, (list, tuple)) else [content]
    texts = list(_texts(parts))
    return "\n".join(texts) if texts else None, parts


def _texts(parts: Iterable[Any]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and part.get("type") == "text":
            text = part.get("text")
            text = text.get("escaped") if isinstance(text, dict) else text  # it had lone surrogates
            if isinstance(text, str):
                yield text


def _integer(value: int | None) -> int | str | None:
    """An integer as SQLite holds it: one beyond 64 bits as text, rather than not at all."""
    return value if value is None or value in _INT64 else str(value)


def _milliseconds(value: float | None) -> int | None:
    """A duration to the whole millisecond; what is no number of milliseconds is unknown."""
    return None if value is None or not math.isfinite(value) or abs(value) >= _INT64.stop else round(value)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
