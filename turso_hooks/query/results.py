"""What reading gives back: frozen, times as datetimes in UTC, JSON decoded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SessionSummary:
    """A session, without what is in it.

    `status` is running, completed, error or cancelled as stored, or `interrupted`: it has no end, and nothing of it was seen
    for a day.
    """

    session_id: str
    agent_type: str
    model: str
    provider: str | None
    status: str
    error_message: str | None
    title: str | None
    project: str | None
    user_id: str | None
    runner: str | None
    parent_session_id: str | None
    parent_tool_call_id: str | None
    started_at: datetime | None
    ended_at: datetime | None
    message_count: int
    tool_call_count: int
    metadata: Any


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """Something in a session; entries are read in the order of time, position, id."""

    row_id: str
    occurred_at: datetime | None
    position: int | None
    metadata: Any


@dataclass(frozen=True, kw_only=True)
class Message(_Entry):
    """A message; `parts` are there if it is more than its plain text, `content`."""

    role: str
    content: str | None
    parts: Any
    tool_call_id: str | None
    tool_name: str | None
    model: str | None
    token_count: int | None


@dataclass(frozen=True, kw_only=True)
class ToolCall(_Entry):
    """A tool call; `status` is running, completed, error or cancelled."""

    tool_call_id: str | None
    tool_name: str
    status: str
    input: Any
    output: Any
    error: str | None
    ended_at: datetime | None
    duration_ms: int | None


@dataclass(frozen=True, kw_only=True)
class ModelCall(_Entry):
    """A model call; tokens as in `turso_hooks.Usage`."""

    model: str | None
    provider: str | None
    status: str
    input_tokens: int | None
    output_tokens: int | None
    duration_ms: int | None
    finish_reason: str | None
    cost_usd: float | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Note(_Entry):
    """Anything else that was kept."""

    name: str
    payload: Any


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A session with all that is in it, and its sub-agents' sessions."""

    session: SessionSummary
    messages: list[Message]
    tool_calls: list[ToolCall]
    model_calls: list[ModelCall]
    notes: list[Note]
    children: list[Conversation]
