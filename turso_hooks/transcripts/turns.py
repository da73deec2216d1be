"""A conversation as turns that can be sent to a model again: what was said, and each tool call with its answer. Pure.

Events say it more than once: a call stands in the message that asked for it and in its own events, its answer in these and in
the message that told it to the model. Here each is there once, and none is without the other, for APIs refuse a call without
an answer: of one that was interrupted the answer is that.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from turso_hooks.events import Event, MessageAdded, ToolCallFinished, ToolCallStarted

NO_ANSWER = "The tool call was interrupted: it has no answer."
NO_OUTPUT = "(no output)"

_NO_LETTER_OF_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64

_IMAGE_URL = re.compile(r"https?://|data:image/(?:png|jpeg|gif|webp);base64,", re.IGNORECASE)

_ROLES = {"developer": "system", "model": "assistant", "ai": "assistant"}


@dataclass(eq=False)
class Call:
    """A tool call and what the model was told of it."""

    tool_call_id: str
    tool_name: str
    input: Any
    answer: Any = NO_ANSWER
    is_error: bool = True


@dataclass(eq=False)
class Turn:
    """What somebody says: `role` is system, user or assistant, `parts` mappings with a `type`, without the calls."""

    role: str
    parts: list[Mapping[str, Any]]
    calls: list[Call] = field(default_factory=list)


def turns_of(events: Iterable[Event]) -> list[Turn]:
    """The turns of a session's events, which are in the order of reading."""
    conversation = _Conversation()
    for event in events:
        if isinstance(event, MessageAdded):
            conversation.add_message(event)
        elif isinstance(event, (ToolCallStarted, ToolCallFinished)):
            conversation.add_call(event)
    return conversation.turns


def text_of(value: Any) -> str:
    """Anything as a model is told it: a text as it is, parts as theirs, a file by its name, the rest as JSON."""
    if value is None:
        return NO_OUTPUT
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(_text_of_part(part) is not None for part in value):
        return "\n".join(_text_of_part(part) or "" for part in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def tool_name_of(call: Call) -> str:
    """The name of a call's tool in the letters that providers allow."""
    return _NO_LETTER_OF_A_NAME.sub("_", call.tool_name)[:_LONGEST_NAME] or "tool"


def image_url_of(part: Mapping[str, Any]) -> str | None:
    """Where an image is, or its `data:` URL, if it is one that models are shown."""
    url = part.get("url")
    is_one = part.get("type") == "file" and isinstance(url, str) and str(part.get("media_type") or "").startswith("image/")
    return url if is_one and isinstance(url, str) and _IMAGE_URL.match(url) else None


def file_text(part: Mapping[str, Any]) -> str:
    """A file as a text that says that there was one."""
    return f"[file: {part.get('name') or part.get('media_type') or 'without a name'}]"


def _text_of_part(part: Any) -> str | None:
    if not isinstance(part, Mapping):
        return None
    if part.get("type") == "file":
        return file_text(part)
    text = part.get("text") if part.get("type") == "text" else None
    return text if isinstance(text, str) else None


@dataclass(eq=False)
class _Known:
    """A call, the turn that it is in, and where what is known of it comes from."""

    call: Call
    turn: Turn
    is_asked: bool
    """By a message; else it stands for now in the turn of whoever spoke last."""
    has_begun: bool = False
    is_told: bool = False
    is_over: bool = False
    """Whether the tool itself has said how it went."""


class _Conversation:
    """What was read so far."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self._by_id: defaultdict[str, list[_Known]] = defaultdict(list)
        self._begun: dict[str, _Known] = {}
        """Calls by the row, or the id, of their events."""
        self._is_answered = False
        """Whether a call of the last turn has its answer, so that the next call is another turn's."""

    def add_message(self, message: MessageAdded) -> None:
        parts = _parts_of(message.content)
        if message.role == "tool" and not any(part.get("type") == "tool_result" for part in parts):
            kept = [part for part in parts if part.get("type") != "reasoning"]
            self._tell(message.tool_call_id or "", message.tool_name, kept, is_error=False)
            return
        turn = Turn(_ROLES.get(message.role, message.role if message.role in {"system", "assistant"} else "user"), [])
        asked: list[Mapping[str, Any]] = []
        for part in parts:
            if part.get("type") == "tool_call":
                asked.append(part)
            elif part.get("type") == "tool_result":
                call_id = str(part.get("tool_call_id") or message.tool_call_id or "")
                self._tell(call_id, message.tool_name, part.get("output"), is_error=part.get("is_error") is True)
            else:
                turn.parts.append(part)
        if asked:
            turn.role = "assistant"  # nobody else asks for tools
        if turn.parts or asked:
            self.turns.append(turn)
            self._is_answered = False
        for part in asked:
            self._ask(turn, Call(str(part.get("tool_call_id") or ""), str(part.get("tool_name") or ""), part.get("input")))

    def _ask(self, turn: Turn, call: Call) -> None:
        """A message asks for a call, which may have begun before it was logged."""
        known = self._find(call.tool_call_id, call, lambda known: not known.is_asked)
        if known is None:
            known = _Known(call, turn, is_asked=True)
            self._by_id[call.tool_call_id].append(known)
        else:
            known.turn.calls.remove(known.call)
            if not known.turn.parts and not known.turn.calls:
                self.turns.remove(known.turn)
            known.turn, known.is_asked, known.call.input = turn, True, call.input
        turn.calls.append(known.call)

    def add_call(self, event: ToolCallStarted | ToolCallFinished) -> None:
        key = event.row_id or event.tool_call_id or ""
        known = self._begun.get(key)
        if known is None or isinstance(event, ToolCallStarted):
            call = Call(event.tool_call_id or "", event.tool_name or "", event.input)
            known = self._find(call.tool_call_id, call, lambda known: not known.has_begun)
            if known is None:
                known = self._attach(call)
            known.has_begun = True
            known.call.tool_name = known.call.tool_name or call.tool_name
            self._begun[key] = known
        if isinstance(event, ToolCallFinished) and event.status != "running":
            is_error = event.error is not None or event.status in {"error", "cancelled"}
            if not known.is_told:
                known.call.answer = event.error or "failed" if is_error and event.output is None else event.output
            known.call.is_error, known.is_over = is_error, True
            self._is_answered = True

    def _tell(self, call_id: str, tool_name: str | None, answer: Any, *, is_error: bool) -> None:
        """What the model is told is the answer of the last call that it can be."""
        open_calls = [known for known in self._by_id[call_id] if not known.is_told]
        if not open_calls and not call_id:
            every = [known for of_id in self._by_id.values() for known in of_id if not known.is_told]
            open_calls = [known for known in every if tool_name is None or known.call.tool_name == tool_name]
        known = open_calls[-1] if open_calls else self._attach(Call(call_id, tool_name or "", None))
        known.call.answer, known.is_told = answer, True
        known.call.is_error = is_error or (known.is_over and known.call.is_error)
        self._is_answered = True

    def _find(self, call_id: str, call: Call, is_meant: Callable[[_Known], bool]) -> _Known | None:
        """The first call that may be this one: of its id, if it has one, with the same input if several are."""
        if call_id:
            possible = [known for known in self._by_id[call_id] if is_meant(known)]
            same = [known for known in possible if known.call.input == call.input]
            return next(iter(same or possible), None)
        every = [known for of_id in self._by_id.values() for known in of_id if is_meant(known)]
        return next((each for each in every if (each.call.tool_name, each.call.input) == (call.tool_name, call.input)), None)

    def _attach(self, call: Call) -> _Known:
        """A call that no message asked for belongs to what was said last, if that was the model."""
        if not self.turns or self.turns[-1].role != "assistant" or self._is_answered:
            self.turns.append(Turn("assistant", []))
            self._is_answered = False
        turn = self.turns[-1]
        turn.calls.append(call)
        known = _Known(call, turn, is_asked=False)
        self._by_id[call.tool_call_id].append(known)
        return known


def _parts_of(content: Any) -> list[Mapping[str, Any]]:
    """The parts of a message's content; a text that is marked, as it has no encoding, as what it was."""
    built = msgspec.to_builtins(content, enc_hook=str)
    parts: list[Mapping[str, Any]] = []
    for part in built if isinstance(built, list) else [built]:
        if isinstance(part, str) and part:
            parts.append({"type": "text", "text": part})
        elif isinstance(part, Mapping) and part.get("type") == "text":
            parts.append({"type": "text", "text": _plain_text(part.get("text"))})
        elif isinstance(part, Mapping):
            parts.append(part)
    return parts


def _plain_text(text: Any) -> str:
    if isinstance(text, Mapping) and isinstance(text.get("escaped"), str):
        return str(text["escaped"])
    return text if isinstance(text, str) else "" if text is None else json.dumps(text, ensure_ascii=False, default=str)
