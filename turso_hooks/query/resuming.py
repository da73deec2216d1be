"""A session as what an agent needs to go on with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from turso_hooks.errors import QueryError
from turso_hooks.events import Event, MessageAdded, ToolCallFinished, ToolCallStarted
from turso_hooks.query.results import Conversation, Message, ToolCall, moment_of_entry
from turso_hooks.transcripts import anthropic, openai_chat
from turso_hooks.transcripts.turns import Turn, turns_of

FORMATS: dict[str, Callable[[Iterable[Turn]], dict[str, Any]]] = {
    "openai": openai_chat.request_of,
    "anthropic": anthropic.request_of,
}


def request_of(conversation: Conversation, form: str) -> dict[str, Any]:
    """What a provider's API takes to go on with a conversation, without its sub-agents'. Raises `QueryError`."""
    if form not in FORMATS:
        raise QueryError(f"there is no format {form!r:.40}: it is one of {', '.join(FORMATS)}")
    told: list[Message | ToolCall] = [*conversation.messages, *conversation.tool_calls]
    timed = [each for entry in told for each in _events_of(entry)]
    timed.sort(key=lambda each: each[0])
    return FORMATS[form](turns_of(event for _, event in timed))


def _events_of(entry: Message | ToolCall) -> Iterator[tuple[tuple[float, float], Event]]:
    """The events that an entry was made of, as far as they are needed here, with their place."""
    place = moment_of_entry(entry)
    if isinstance(entry, Message):
        content = entry.content if entry.parts is None else entry.parts
        told: dict[str, Any] = {"role": entry.role, "content": content, "tool_call_id": entry.tool_call_id}
        yield place, MessageAdded(session_id=entry.session_id, **told)
        return
    named: dict[str, Any] = {"session_id": entry.session_id, "tool_call_id": entry.tool_call_id, "row_id": entry.row_id}
    yield place, ToolCallStarted(**named, tool_name=entry.tool_name, input=entry.input)
    if entry.status != "running":
        ended_s = entry.ended_at.timestamp() if entry.ended_at else 0.0
        ended = (ended_s, float("inf")) if ended_s > place[0] else place
        yield ended, ToolCallFinished(**named, status=entry.status, output=entry.output, error=entry.error)
