"""What a reader remembers of a transcript's lines. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class OpenMessage(msgspec.Struct, kw_only=True):
    """A model's answer of which more blocks may come."""

    message_id: str
    occurred_at: datetime
    position: int
    blocks: list[Any] = []
    lines: list[str] = []
    """The `uuid` of each line: one that comes again adds nothing."""
    model: str | None = None
    usage: dict[str, Any] = {}
    stop_reason: str | None = None
    request_id: str | None = None
    is_copied: bool = False
    is_error: bool = False
    is_said: bool = False
    """Nothing has come since it was last told as an event."""


class OpenCall(msgspec.Struct, kw_only=True):
    """A tool call without a result."""

    tool_name: str | None
    input: Any
    message_id: str
    occurred_at: datetime
    position: int
    is_said: bool = False
    """It was told that it has started; else that is told with its end."""
    is_copied: bool = False
    """It is another session's."""


class Unpriced(msgspec.Struct, frozen=True, kw_only=True):
    """A model call of which it is not known yet what it cost."""

    call_id: str
    model: str
    weight: float
    occurred_at: datetime
    position: int


class Session(msgspec.Struct, kw_only=True):
    """What is known of a session so far."""

    last_at: datetime
    born_at: datetime | None = None
    """The first time that its file names: what is older is copied from another session."""
    prompt_ids: dict[str, str] = {}
    """The last ones, and the line of each."""
    started_at: datetime | None = None
    """When it was last said to have started."""
    titles: int = 0
    """How many it was given since."""
    model: str | None = None
    title: str | None = None
    is_open: bool = False
    is_cancelled: bool = False
    error: str | None = None
    awaits_answer: bool = False
    """The last line of the conversation was the user's or a tool's, or the model was not done."""
    message: OpenMessage | None = None
    calls: dict[str, OpenCall] = {}
    prices: dict[str, float] = {}
    unpriced: list[Unpriced] = []


class State(msgspec.Struct, kw_only=True):
    """What a reader remembers of the lines it has read: small, and can be kept as JSON."""

    sessions: dict[str, Session] = {}
