"""The events: frozen facts in the past tense, one struct a hook.

Building one checks nothing and costs about a microsecond. A value of a wrong type is not an error: what can be read is kept
in its place when the event is stored, and what cannot is kept under `metadata`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from turso_hooks.events.ids import new_event_id, row_id
from turso_hooks.events.times import utc_now


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _part_tag(name: str) -> str:
    return _snake_case(name.removesuffix("Part"))


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=_part_tag):
    """One piece of a message's content."""


class TextPart(_Part, frozen=True, kw_only=True):
    """Text that was said."""

    text: str


class ReasoningPart(_Part, frozen=True, kw_only=True):
    """What a model thought before it spoke; `signature` is the provider's proof of it, if it gives one."""

    text: str
    signature: str | None = None


class FilePart(_Part, frozen=True, kw_only=True):
    """An image or file, by reference: `url` says where it is (a `data:` URL holds it), `media_type` what it is."""

    url: str | None = None
    media_type: str | None = None
    name: str | None = None


class ToolCallPart(_Part, frozen=True, kw_only=True):
    """A model's wish to call a tool, as part of its message. The call itself is told by the tool call events."""

    tool_call_id: str
    tool_name: str
    input: Any = None


class ToolResultPart(_Part, frozen=True, kw_only=True):
    """A tool's answer, as part of a message."""

    tool_call_id: str
    output: Any = None
    is_error: bool = False


Part = TextPart | ReasoningPart | FilePart | ToolCallPart | ToolResultPart

if TYPE_CHECKING:
    Content = str | Sequence[_Part | Mapping[str, Any]] | None
else:
    Content = Any  # parts are stored as the JSON they are: decoding them into structs first would refuse foreign ones


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one model call, counted as OpenTelemetry does.

    `input` includes the cached ones and `output` includes reasoning; `cache_read`, `cache_write` and `reasoning` are
    subsets, never to be added again. (Anthropic's own `input_tokens` leaves the cached ones out.)
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=_snake_case):
    """What every event says.

    Attributes:
        session_id: the source's id of the session, as it is.
        event_id: made at birth; 32 hex digits, time-ordered.
        occurred_at: when it happened; a time without a zone is taken as UTC.
        position: the place in its source, if it has one; breaks ties of time when reading.
        source_rank: how well the source knows: 3 a transcript, 2 an SDK or API, 1 a hook.
        row_id: the row it belongs to, if the id of its source is not enough (see `turso_hooks.events.row_id`).
        metadata: anything else, kept as JSON.
    """

    row_kind: ClassVar[str] = ""

    session_id: str
    event_id: str = msgspec.field(default_factory=new_event_id)
    occurred_at: datetime = msgspec.field(default_factory=utc_now)
    position: int | None = None
    source_rank: int = 1
    row_id: str | None = None
    metadata: Any = None

    @property
    def source_id(self) -> str | None:
        """The source's id of what this event is about, if it has one."""
        return None


class SessionStarted(Event, frozen=True, kw_only=True):
    """A conversation begins or is taken up again: said twice for one id, it fills in what was unknown and reopens it.

    `agent_type` is the kind of agent (`planner`, `reviewer`), `runner` the program that runs it with its version, and a
    sub-agent is a session with a `parent_session_id` and the tool call that started it.
    """

    agent_type: str | None = None
    model: str | None = None
    provider: str | None = None
    parent_session_id: str | None = None
    parent_tool_call_id: str | None = None
    title: str | None = None
    project: str | None = None
    user_id: str | None = None
    runner: str | None = None


class MessageAdded(Event, frozen=True, kw_only=True):
    """A message is part of the conversation now. `role` is system, user, assistant or tool.

    `content` is text or a list of parts (structs of this module, or mappings with a `type`). A tool's answer as the model
    saw it has the role tool, with `tool_call_id` and `tool_name`; the execution itself is told by the tool call events.
    """

    row_kind: ClassVar[str] = "message"

    role: str
    content: Content = None
    message_id: str | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    model: str | None = None
    token_count: int | None = None

    @property
    def source_id(self) -> str | None:
        """The message id."""
        return self.message_id


class _ModelCall(Event, frozen=True, kw_only=True):
    row_kind: ClassVar[str] = "model_call"

    model_call_id: str | None = None
    model: str | None = None
    provider: str | None = None

    @property
    def source_id(self) -> str | None:
        """The model call id."""
        return self.model_call_id


class ModelCallStarted(_ModelCall, frozen=True, kw_only=True):
    """A request to a model is on its way."""


class ModelCallFinished(_ModelCall, frozen=True, kw_only=True):
    """A model has answered, or failed to: then `error` says how. Durations are in milliseconds, cost in US dollars.

    When it was asked is said by `started_at`, for those who know that better than by `duration_ms`.
    """

    usage: Usage | None = None
    duration_ms: int | float | None = None
    time_to_first_token_ms: int | float | None = None
    finish_reason: str | None = None
    cost_usd: float | None = None
    error: str | None = None
    started_at: datetime | None = None


class _ToolCall(Event, frozen=True, kw_only=True):
    row_kind: ClassVar[str] = "tool_call"

    tool_call_id: str | None = None
    tool_name: str | None = None
    input: Any = None
    message_id: str | None = None

    @property
    def source_id(self) -> str | None:
        """The tool call id."""
        return self.tool_call_id


class ToolCallStarted(_ToolCall, frozen=True, kw_only=True):
    """A tool begins to run. `message_id` is the message that asked for it."""


class ToolCallFinished(_ToolCall, frozen=True, kw_only=True):
    """A tool has run. Name and input may be given here too, by those who log a call only when it is over.

    `status` is completed, error or cancelled; left out, it is error if there is an `error`, else completed. When it began is
    said by `started_at`, for those who know that but not how long the tool itself took; else by `duration_ms`.
    """

    status: str | None = None
    output: Any = None
    error: str | None = None
    duration_ms: int | float | None = None
    started_at: datetime | None = None


class SessionEnded(Event, frozen=True, kw_only=True):
    """A conversation is over: completed, error or cancelled. Left out, error if there is a message, else completed."""

    status: str | None = None
    error_message: str | None = None


class NoteAdded(Event, frozen=True, kw_only=True):
    """Anything else worth keeping: `name` says what (compaction, permission_asked, retry, guardrail), `payload` the rest."""

    row_kind: ClassVar[str] = "note"

    name: str
    payload: Any = None


EVENT_TYPES: tuple[type[Event], ...] = (
    SessionStarted,
    MessageAdded,
    ModelCallStarted,
    ModelCallFinished,
    ToolCallStarted,
    ToolCallFinished,
    SessionEnded,
    NoteAdded,
)
"""Every event there is, in the order in which a session usually meets them."""


def hook_name(event: Event | type[Event]) -> str:
    """The hook that announces this event: its struct's name in snake case, such as `message_added`."""
    return str(event.__struct_config__.tag)


def row_id_of(event: Event) -> str:
    """The id of the row an event belongs to: its own, or from the id of its source, or else its event id.

    For the events of a session itself it is the session id.
    """
    if not event.row_kind:
        return event.session_id
    if event.row_id is not None:
        return event.row_id
    if event.source_id:  # an empty one tells nothing apart
        return row_id(event.session_id, event.row_kind, event.source_id)
    return event.event_id
