"""What reading gives back: frozen structs, times as datetimes in UTC, JSON decoded.

They are msgspec's (https://jcristharif.com/msgspec/structs.html): `msgspec.structs.asdict` makes a dict of one,
`msgspec.json.encode` JSON.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A session, without what is in it.

    `status` is running, completed, error or cancelled as stored, or `interrupted`: it has no end, and nothing of it was seen
    for a day. `seen_at` is when something of it was seen last.
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
    seen_at: datetime | None
    message_count: int
    tool_call_count: int
    metadata: Any


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a session; entries are read in the order of time, position, id."""

    row_id: str
    session_id: str
    occurred_at: datetime | None
    position: int | None
    metadata: Any
    cut: tuple[str, ...] = ()
    """Fields of which this has the beginning: lists leave large values where they are; a session has them whole."""


class Message(_Entry, frozen=True, kw_only=True):
    """A message; `parts` are there if it is more than its plain text, `content`."""

    role: str
    content: str | None
    parts: Any
    tool_call_id: str | None
    tool_name: str | None
    model: str | None
    token_count: int | None


class ToolCall(_Entry, frozen=True, kw_only=True):
    """A tool call; `status` is running, completed, error or cancelled."""

    tool_call_id: str | None
    tool_name: str
    status: str
    input: Any
    output: Any
    error: str | None
    ended_at: datetime | None
    duration_ms: int | None


class ModelCall(_Entry, frozen=True, kw_only=True):
    """A model call; tokens as in `turso_hooks.Usage`: the three of the cache and of reasoning are parts of the others."""

    model: str | None
    provider: str | None
    status: str
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    duration_ms: int | None
    time_to_first_token_ms: int | None
    finish_reason: str | None
    cost_usd: float | None
    error: str | None


class Note(_Entry, frozen=True, kw_only=True):
    """Anything else that was kept."""

    name: str
    payload: Any


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A session with all that is in it, and its sub-agents' sessions."""

    session: SessionSummary
    messages: list[Message]
    tool_calls: list[ToolCall]
    model_calls: list[ModelCall]
    notes: list[Note]
    children: list[Conversation]

    @property
    def entries(self) -> list[Message | ToolCall | ModelCall | Note]:
        """All that is in the session itself in reading order: by time, position; of a moment messages come first."""
        return sorted((*self.messages, *self.tool_calls, *self.notes, *self.model_calls), key=moment_of_entry)


def moment_of_entry(entry: Message | ToolCall | ModelCall | Note) -> tuple[float, float]:
    """What entries are ordered by for reading. What has no position was not logged by us, and comes last of its moment."""
    time = entry.occurred_at.timestamp() if entry.occurred_at else 0.0
    return (time, float("inf") if entry.position is None else entry.position)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What there is in one session or several, summed up. `cost_usd` is what their sources said; nothing is estimated."""

    sessions: int = 0
    messages: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Totals) -> Totals:
        """The sum of both."""
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class SessionTree(msgspec.Struct, frozen=True, kw_only=True):
    """A session and those of its sub-agents: what is in it alone, and what is in all of them together, each counted once."""

    session: SessionSummary
    own: Totals
    total: Totals
    children: tuple[SessionTree, ...]


class Piece(NamedTuple):
    """A piece of a snippet, and whether it is what was looked for."""

    text: str
    is_match: bool


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was found.

    `kind` is session, message, tool_call or model_call, and `row_id` that row's; `role` is there for messages, `tool_name` for
    tool calls. `score` is there if the order is `relevance`: more is better, and no more is meant by it.
    """

    kind: str
    row_id: str
    session_id: str
    session_title: str | None
    agent_type: str
    project: str | None
    occurred_at: datetime | None
    role: str | None
    tool_name: str | None
    snippet: tuple[Piece, ...]
    score: float | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search has found.

    `looked_at` is how many matches (without an index: rows) were looked at; if there are more, `is_whole` is False and
    `looked_back_to` says to what time.
    """

    hits: tuple[Hit, ...]
    next_cursor: str | None
    looked_at: int
    is_whole: bool
    looked_back_to: datetime | None
    has_index: bool


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """What was logged last, in the order of time; `cursor` is where to go on."""

    entries: tuple[Message | ToolCall, ...]
    sessions: dict[str, SessionSummary]
    """Those of the entries, by their id."""
    cursor: str


class SqlResult(msgspec.Struct, frozen=True, kw_only=True):
    """What SQL has given."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
