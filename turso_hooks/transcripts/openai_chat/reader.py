"""Conversations to events."""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from uuid import uuid5

from turso_hooks.errors import TranscriptError
from turso_hooks.events import (
    Event,
    FilePart,
    MessageAdded,
    ReasoningPart,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
    ToolCallStarted,
    derived_event_id,
    row_id,
)
from turso_hooks.transcripts.openai_chat.ids import NAMESPACE

AGENT_TYPE = "openai-chat"
"""The agent type of a session whose metadata names none."""

_SOURCE_RANK = 3
_ROLES = {"developer": "system", "function": "tool"}
_TIME_KEYS = ("timestamp", "created_at", "created")
_MESSAGE_KEYS = frozenset(
    {"role", "content", "id", "tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning", *_TIME_KEYS}
)


class Reader:
    """Turns conversations into events; remembers which it has seen, to tell equal ones apart.

    `recorded_at` is the time of everything that does not say when it happened.
    """

    def __init__(self, recorded_at: datetime) -> None:
        self._recorded_at = recorded_at
        self._seen: Counter[str] = Counter()
        self._given: defaultdict[str, list[str]] = defaultdict(list)

    def events(self, conversation: Any) -> list[Event]:
        """The events of one conversation, in order. Raises `TranscriptError` if it is none."""
        whole = conversation if isinstance(conversation, Mapping) else {"messages": conversation}
        messages = whole.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
            raise TranscriptError('a conversation is a list of messages, or an object with "messages"')
        metadata = {key: value for key, value in whole.items() if key != "messages"}
        own = metadata.pop("metadata", None)
        metadata |= dict(own) if isinstance(own, Mapping) else {} if own is None else {"metadata": own}
        session_id = self._session_id(_given_id(metadata), messages)
        started_at = _time(metadata) or next(filter(None, map(_time, messages)), None) or self._recorded_at
        return list(_Conversation(session_id, started_at).events(messages, metadata))

    def _session_id(self, given: str | None, messages: list[Any]) -> str:
        canonical = str(uuid5(NAMESPACE, json.dumps(messages, sort_keys=True, separators=(",", ":"), ensure_ascii=True)))
        if given is None:
            self._seen[canonical] += 1
            occurrence = self._seen[canonical]
            return canonical if occurrence == 1 else str(uuid5(NAMESPACE, f"{canonical}:{occurrence}"))
        different = self._given[given]
        if canonical not in different:
            different.append(canonical)
        n = different.index(canonical)
        return f"{given}~{n}" if n else given


@dataclass
class _Conversation:
    """One conversation on its way through: what has been called and not answered, and which ids were used how often."""

    session_id: str
    now: datetime
    position: int = 0
    message_ids: Counter[str] = field(default_factory=Counter)
    call_ids: Counter[str] = field(default_factory=Counter)
    unanswered: defaultdict[str, deque[dict[str, Any]]] = field(default_factory=lambda: defaultdict(deque))

    def events(self, messages: list[Mapping[str, Any]], metadata: dict[str, Any]) -> Iterator[Event]:
        yield SessionStarted(
            **self._common("session_started"),
            agent_type=_text(metadata.get("agent_type")) or AGENT_TYPE,
            model=_text(metadata.get("model")),
            provider=_text(metadata.get("provider")),
            title=_text(metadata.get("title")),
            user_id=_text(metadata.get("user_id")),
            metadata=metadata or None,
        )
        for self.position, message in enumerate(messages, start=1):
            self.now = _time(message) or self.now
            yield from self._message(message)
        self.position += 1
        yield SessionEnded(**self._common("session_ended"), status="completed")

    def _message(self, message: Mapping[str, Any]) -> Iterator[Event]:
        role = message.get("role")
        if not isinstance(role, str):
            raise TranscriptError(f"message {self.position} has no role")
        role = _ROLES.get(role, role)
        message_id = self._message_id(message)
        calls = list(self._calls(message))
        answered = self._answered(message) if role == "tool" else None
        yield MessageAdded(
            **self._common("message_added"),
            message_id=message_id,
            role=role,
            content=_content(message, calls),
            tool_call_id=_text(message.get("tool_call_id")),
            tool_name=(answered or {}).get("tool_name") or (_text(message.get("name")) if role == "tool" else None),
            metadata={key: value for key, value in message.items() if key not in _MESSAGE_KEYS} or None,
        )
        for call in calls:
            self.unanswered[call["tool_call_id"]].append(call)
            yield ToolCallStarted(**self._common("tool_call_started", call["row_id"]), **call, message_id=message_id)
        if answered is not None:
            names = {key: answered[key] for key in ("row_id", "tool_call_id", "tool_name")}
            common = self._common("tool_call_finished", answered["row_id"])
            yield ToolCallFinished(**common, **names, status="completed", output=message.get("content"))

    def _message_id(self, message: Mapping[str, Any]) -> str:
        given = _text(message.get("id"))
        if given is None:
            return f"#{self.position}"
        self.message_ids[given] += 1
        earlier = self.message_ids[given] - 1
        return f"{given}~{earlier}" if earlier else given

    def _calls(self, message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The tool calls a message asks for; an id that was used before is told apart by counting."""
        listed = message.get("tool_calls")
        listed = listed if isinstance(listed, list) else []
        older = message.get("function_call")
        if older:
            listed = [*listed, {"id": None, "function": older}]
        for index, call in enumerate(listed):
            if not isinstance(call, Mapping):
                continue
            function = call.get("function") or call.get("custom")
            function = function if isinstance(function, Mapping) else {"name": function}
            call_id = _text(call.get("id")) or f"#{self.position}.{index}"
            earlier = self.call_ids[call_id]
            self.call_ids[call_id] += 1
            yield {
                "row_id": row_id(self.session_id, ToolCallStarted.row_kind, call_id, earlier),
                "tool_call_id": call_id,
                "tool_name": _text(function.get("name")),
                "input": _parsed(function.get("arguments", function.get("input"))),
            }

    def _answered(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """The call that a tool's message answers: the earliest of its id that has no answer yet."""
        call_id = _text(message.get("tool_call_id"))
        if call_id is not None:
            waiting = self.unanswered.get(call_id)
            return waiting.popleft() if waiting else None
        name = message.get("name")
        for queue in self.unanswered.values():
            if queue and queue[0]["tool_name"] == name:
                return queue.popleft()
        return None

    def _common(self, kind: str, row: str = "") -> dict[str, Any]:
        return {
            "session_id": self.session_id,
            "event_id": derived_event_id(self.now, self.session_id, kind, str(self.position), row),
            "occurred_at": self.now,
            "position": self.position,
            "source_rank": _SOURCE_RANK,
        }


def _given_id(metadata: Mapping[str, Any]) -> str | None:
    for key in ("id", "session_id", "conversation_id"):
        if given := _text(metadata.get(key)):
            return given
    return None


def _text(value: Any) -> str | None:
    """A value as text, if it is a text or a number; anything else is unknown."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _time(source: Mapping[str, Any]) -> datetime | None:
    """When something happened, as text in ISO 8601 or seconds since 1970, if it says so."""
    for key in _TIME_KEYS:
        value = source.get(key)
        try:
            if isinstance(value, str):
                return datetime.fromisoformat(value.replace("Z", "+00:00"))
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, timezone.utc)
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _parsed(arguments: Any) -> Any:
    """The arguments of a call: they come as JSON text, which models do not always get right."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _content(message: Mapping[str, Any], calls: list[dict[str, Any]]) -> Any:
    """Plain text if that is all there is, else parts."""
    content = message.get("content")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if not calls and not reasoning and not isinstance(content, list):
        return content
    parts: list[Any] = [ReasoningPart(text=reasoning)] if isinstance(reasoning, str) else []
    if isinstance(content, list):
        parts += map(_part, content)
    elif content:
        parts.append(TextPart(text=content) if isinstance(content, str) else content)
    for call in calls:
        named = {"tool_call_id": call["tool_call_id"], "tool_name": call["tool_name"] or ""}
        parts.append(ToolCallPart(**named, input=call["input"]))
    return parts


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    if str(part.get("type")) in {"text", "input_text", "output_text"} and isinstance(part.get("text"), str):
        return TextPart(text=part["text"])
    image = part.get("image_url")
    if part.get("type") == "image_url" and isinstance(image, Mapping):
        return FilePart(url=_text(image.get("url")), media_type="image/*")
    return dict(part)
