"""A conversation as turns that can be sent to a model again: what was said, and each tool call with its answer. Pure.

Events say it more than once: a call stands in the message that asked for it and in its own events, its answer in these and in
the message that told it to the model. Here each is there once, and none is without the other, for APIs refuse a call without
an answer: of one that was interrupted the answer is that.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from turso_hooks.events import Event, MessageAdded, ToolCallFinished, ToolCallStarted

NO_ANSWER = "The tool call was interrupted: it has no answer."


@dataclass
class Call:
    """A tool call and what the model was told of it."""

    tool_call_id: str
    tool_name: str
    input: Any
    answer: Any = NO_ANSWER
    is_error: bool = True


@dataclass
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
    return conversation.answered()


def text_of(value: Any) -> str:
    """Anything as a model is told it: a text as it is, parts as theirs, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(_text_of_part(part) is not None for part in value):
        return "\n".join(_text_of_part(part) or "" for part in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _text_of_part(part: Any) -> str | None:
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
    return text if isinstance(text, str) else None


class _Conversation:
    """What was read so far. Answers wait by the id of their call: those the model was told, and those of the tools."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._told: defaultdict[str, deque[tuple[Any, bool]]] = defaultdict(deque)
        self._given: defaultdict[str, deque[tuple[Any, bool]]] = defaultdict(deque)
        self._asked: defaultdict[str, deque[Call]] = defaultdict(deque)
        """Calls that a message asked for and that have not begun."""
        self._unasked: defaultdict[str, deque[tuple[Turn, Call]]] = defaultdict(deque)
        """Calls that began and that no message has asked for so far, with the turn that they are in till then."""
        self._running: Counter[str] = Counter()
        self._is_answered = False
        """Whether a call of the last turn has its answer, so that the next call is another turn's."""

    def add_message(self, message: MessageAdded) -> None:
        parts = _parts_of(message.content)
        if message.role == "tool":
            self._told[message.tool_call_id or ""].append((_without_reasoning(parts), False))
            self._is_answered = True
            return
        said: list[Mapping[str, Any]] = []
        calls: list[Call] = []
        for part in parts:
            call_id = str(part.get("tool_call_id") or "")
            if part.get("type") == "tool_call":
                calls.append(Call(call_id, str(part.get("tool_name") or ""), part.get("input")))
            elif part.get("type") == "tool_result":
                self._told[call_id].append((part.get("output"), part.get("is_error") is True))
            else:
                said.append(part)
        for call in calls:
            if self._unasked[call.tool_call_id]:
                self._take_back(*self._unasked[call.tool_call_id].popleft())
            else:
                self._asked[call.tool_call_id].append(call)
        if said or calls:
            self._turns.append(Turn(message.role, said, calls))
            self._is_answered = False

    def add_call(self, event: ToolCallStarted | ToolCallFinished) -> None:
        call_id = event.tool_call_id or event.row_id or ""
        if isinstance(event, ToolCallStarted) or not self._running[call_id]:
            self._running[call_id] += 1
            if self._asked[call_id]:
                self._asked[call_id].popleft()
            else:
                self._attach(Call(call_id, event.tool_name or "", event.input))
        if isinstance(event, ToolCallFinished):
            self._running[call_id] -= 1
            is_error = event.error is not None or event.status in {"error", "cancelled"}
            if event.status != "running":
                self._given[call_id].append((event.error if event.output is None else event.output, is_error))
                self._is_answered = True

    def _attach(self, call: Call) -> None:
        """A call that no message asked for belongs to what was said last, if that was the model."""
        if not self._turns or self._turns[-1].role != "assistant" or self._is_answered:
            self._turns.append(Turn("assistant", []))
            self._is_answered = False
        self._turns[-1].calls.append(call)
        self._unasked[call.tool_call_id].append((self._turns[-1], call))

    def _take_back(self, turn: Turn, call: Call) -> None:
        turn.calls = [each for each in turn.calls if each is not call]
        if not turn.parts and not turn.calls:
            self._turns = [each for each in self._turns if each is not turn]

    def answered(self) -> list[Turn]:
        for turn in self._turns:
            for call in turn.calls:
                told, given = self._told[call.tool_call_id], self._given[call.tool_call_id]
                ran = given.popleft() if given else None
                heard = told.popleft() if told else None
                if heard is not None:
                    call.answer, call.is_error = heard[0], heard[1] or (ran is not None and ran[1])
                elif ran is not None:
                    call.answer, call.is_error = ran
        return self._turns


def _parts_of(content: Any) -> list[Mapping[str, Any]]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    built = msgspec.to_builtins(content, enc_hook=str)
    return [part for part in (built if isinstance(built, list) else [built]) if isinstance(part, Mapping)]


def _without_reasoning(parts: list[Mapping[str, Any]]) -> Any:
    kept = [part for part in parts if part.get("type") != "reasoning"]
    return kept[0]["text"] if len(kept) == 1 and _text_of_part(kept[0]) is not None else kept or ""
