"""Conversations as the messages of OpenAI's Chat Completions API, one or many in a file.

A file is a JSON array of conversations, JSON Lines of them, or one conversation. A conversation is `{"messages": […],
"metadata": {…}}` or the bare list of messages. Format of a message: https://platform.openai.com/docs/api-reference/chat, with
the older `function_call` and role `function`, and `reasoning_content` as several providers have it.

Its session id is its `id` or `session_id` (its own, or in its metadata), else a UUIDv5 of its messages and of how many equal
conversations came before it. An id that comes again in a file with other messages gets `~n`. The same conversation therefore
becomes the same rows, however often it is read.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid5

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
from turso_hooks.transcripts.turns import Call, Turn, file_text, image_url_of, text_of, tool_name_of

AGENT_TYPE = "openai-chat"
"""The agent type of a session whose metadata names none."""

_SOURCE_RANK = 3
_LONGEST_ID = 40
_NAMESPACE = UUID("6b0b3d1e-6d55-5f0a-9d35-5c9a7ab1f3b4")
"""Of the session ids derived from content; fixed for ever."""

_ROLES = {"developer": "system", "function": "tool"}
_TIME_KEYS = ("timestamp", "created_at", "created")
_MESSAGE_KEYS = frozenset(
    {"role", "content", "id", "tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning", *_TIME_KEYS}
)


@dataclass(frozen=True)
class Unreadable:
    """A piece of a file that is no conversation: where it is, and why not."""

    place: str
    problem: str


Found = tuple[str, Any] | Unreadable
"""A conversation as it was parsed, with its place; or what cannot be."""


def conversations(lines: Iterable[bytes]) -> Iterator[Found]:
    """The conversations in the lines of a file, each with its place (`line 3` or `conversation 3`).

    JSON Lines are read one by one; a line that is not JSON is reported and the rest goes on. Anything else is read whole.
    Raises `TranscriptError` if the whole is not JSON either.
    """
    iterator = iter(enumerate(lines, start=1))
    first = next(((number, line) for number, line in iterator if line.strip()), None)
    if first is None:
        return
    if _is_json(first[1]):
        second = next(((number, line) for number, line in iterator if line.strip()), None)
        if second is None:
            yield from _whole(first[1])
            return
        yield from (_line(number, line) for number, line in (first, second))
        yield from (_line(number, line) for number, line in iterator if line.strip())
        return
    rest = list(iterator)
    whole = b"".join([first[1], *(line for _, line in rest)])
    if not _is_json(whole) and any(_is_conversation_line(line) for _, line in rest):
        yield from (_line(number, line) for number, line in (first, *rest) if line.strip())
    else:
        yield from _whole(whole)


def _line(number: int, line: bytes) -> Found:
    try:
        return f"line {number}", json.loads(line)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"line {number}", f"it is not JSON: {error}")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_conversation_line(line: bytes) -> bool:
    """Whether a line stands for itself: a pretty-printed file has lines that are JSON too, but none with messages."""
    if line.strip()[:1] not in {b"{", b"["} or not _is_json(line):
        return False
    value = json.loads(line)
    return (isinstance(value, dict) and "messages" in value) or _is_messages(value)


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) and "role" in entry for entry in value)


def _whole(data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TranscriptError(f"the file is neither JSON nor JSON Lines: {error}") from error
    if isinstance(value, list) and not _is_messages(value):
        yield from ((f"conversation {number}", entry) for number, entry in enumerate(value, start=1))
    else:
        yield "conversation 1", value


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
        canonical = str(uuid5(_NAMESPACE, json.dumps(messages, sort_keys=True, separators=(",", ":"), ensure_ascii=True)))
        if given is None:
            self._seen[canonical] += 1
            occurrence = self._seen[canonical]
            return canonical if occurrence == 1 else str(uuid5(_NAMESPACE, f"{canonical}:{occurrence}"))
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


def request_of(turns: Iterable[Turn]) -> dict[str, Any]:
    """What `client.chat.completions.create` takes to go on with a conversation: `messages`.

    What the format cannot say is left out: reasoning, and files that are no images but for their names.
    """
    messages: list[dict[str, Any]] = []
    for turn in turns:
        content = _written(turn)
        message: dict[str, Any] = {"role": turn.role, "content": content}
        if turn.calls:
            message["tool_calls"] = [_call_of(call) for call in turn.calls]
        if content is not None or turn.calls:
            messages.append(message)
        messages += [{"role": "tool", "tool_call_id": _id_of(call), "content": text_of(call.answer)} for call in turn.calls]
    return {"messages": messages}


def _call_of(call: Call) -> dict[str, Any]:
    arguments = call.input if isinstance(call.input, str) else json.dumps(call.input or {}, ensure_ascii=False, default=str)
    return {"id": _id_of(call), "type": "function", "function": {"name": tool_name_of(call), "arguments": arguments}}


def _id_of(call: Call) -> str:
    """The id of a call, or a shorter one that it becomes each time: the API takes no more than 40 letters, and not none."""
    return (
        call.tool_call_id if 0 < len(call.tool_call_id) <= _LONGEST_ID else f"call_{uuid5(_NAMESPACE, call.tool_call_id).hex}"
    )


def _written(turn: Turn) -> Any:
    """The content of a message: one text as it is, more as a list; None if there is nothing that the format can say."""
    written = [each for part in turn.parts if (each := _written_part(part, turn.role)) is not None]
    if len(written) == 1 and written[0]["type"] == "text":
        return written[0]["text"]
    return written or None


def _written_part(part: Mapping[str, Any], role: str) -> dict[str, Any] | None:
    kind, url = part.get("type"), image_url_of(part)
    if kind in {"reasoning", "redacted_thinking"}:
        return None
    if url is not None and role == "user":  # nobody else shows any
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "file":
        return {"type": "text", "text": file_text(part)}
    return dict(part) if kind == "text" else {"type": "text", "text": text_of(part)}
