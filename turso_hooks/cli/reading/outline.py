"""What is shown of a conversation, and in which order, whatever it is shown as."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import msgspec

from turso_hooks.cli.options import print_json_line
from turso_hooks.cli.text import plural, visible, when
from turso_hooks.query import Conversation, Message, ModelCall, Note, SessionSummary, ToolCall

Entry: TypeAlias = Message | ToolCall | ModelCall | Note

_KINDS: dict[type, str] = {
    SessionSummary: "session",
    Message: "message",
    ToolCall: "tool_call",
    ModelCall: "model_call",
    Note: "note",
}

_SHOWN_LINES, _SHOWN_CHARS = 12, 2000
"""How much of a tool's input or output is shown unless all of it is asked for."""

_MESSAGE_CHARS = 50_000
"""How much of a message: no model answers at such length."""

_MINUTES_FROM_S = 120
"""From here on a duration is shown as hours, minutes, seconds."""

MARKS = {"completed": "✓", "error": "✗", "cancelled": "-"}
"""Of a tool call's status; any other is `…`."""


def outline(conversation: Conversation) -> Iterator[Entry | Conversation]:
    """Entries in reading order, each sub-agent's conversation after the call that started it.

    Without messages that only repeat what a tool call's output is, and without model calls that have nothing to say.
    """
    answered = {call.tool_call_id for call in conversation.tool_calls if call.output is not None or call.error}
    children = list(conversation.children)
    for entry in conversation.entries:
        if isinstance(entry, Message) and entry.role == "tool" and entry.tool_call_id and entry.tool_call_id in answered:
            continue
        if is_shown(entry):
            yield entry
        if isinstance(entry, ToolCall) and entry.tool_call_id:
            started = [child for child in children if child.session.parent_tool_call_id == entry.tool_call_id]
            children = [child for child in children if child not in started]
            yield from started
    yield from children


def is_shown(entry: Entry) -> bool:
    """Whether an entry says something to people: of model calls those that failed do."""
    return not isinstance(entry, ModelCall) or bool(entry.error)


def print_json_entry(entry: SessionSummary | Entry) -> None:
    """Print a session or something in it as one line of JSON that says in `kind` what it is."""
    print_json_line({"kind": _KINDS[type(entry)], **msgspec.structs.asdict(entry)})


def facts_of(session: SessionSummary) -> list[str]:
    """What there is to say about a session in a line, but for its status."""
    names = f"{session.model} ({session.provider})" if session.provider else session.model
    facts = [session.agent_type, names, session.runner, session.project, when(session.started_at), duration_of(session)]
    return [visible(shortened(fact)) for fact in facts if fact]


def duration_of(session: SessionSummary) -> str | None:
    """How long a session lasted, if it is over."""
    if session.started_at is None or session.ended_at is None:
        return None
    lasted_s = (session.ended_at - session.started_at).total_seconds()
    return f"{lasted_s:.1f} s" if lasted_s < _MINUTES_FROM_S else str(timedelta(seconds=round(lasted_s)))


def sums_of(conversation: Conversation) -> str:
    """How much is in a session, in a line."""
    numbers = {
        "message": len(conversation.messages),
        "tool call": len(conversation.tool_calls),
        "model call": len(conversation.model_calls),
    }
    facts = [plural(number, noun) for noun, number in numbers.items() if number]
    tokens = [sum(getattr(call, name) or 0 for call in conversation.model_calls) for name in ("input_tokens", "output_tokens")]
    if any(tokens):
        facts.append(f"{tokens[0]:,} tokens in, {tokens[1]:,} out")
    cost = sum(call.cost_usd or 0 for call in conversation.model_calls)
    if cost:
        facts.append(f"${cost:.4f}")
    return " · ".join(facts)


def reasoning_of(message: Message) -> Iterator[str]:
    """What a model thought before it said something."""
    for part in _parts(message):
        if isinstance(part, dict) and part.get("type") == "reasoning":
            yield visible(str(part.get("text", "")))


def others_of(message: Message) -> Iterator[str]:
    """What is in a message besides text, thoughts and tool calls: each in a line."""
    for part in _parts(message):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "file":
            yield f"[{visible(shortened(str(part.get('name') or part.get('url') or 'file')))}]"
        elif not isinstance(part, str) and (not isinstance(kind, str) or kind not in {"text", "reasoning", "tool_call"}):
            yield tool_text(part, is_whole=False)


def _parts(message: Message) -> list[Any]:
    return message.parts if isinstance(message.parts, list) else []


def said(message: Message, *, is_whole: bool) -> str:
    """The text of a message, cut where it is endless."""
    return _cut((message.content or "").strip(), None if is_whole else _MESSAGE_CHARS)


def tool_text(value: Any, *, is_whole: bool) -> str:
    """A tool's input or output as text, cut to what is comfortable to read."""
    if value is None:
        return ""
    text = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).strip()
    return _cut(text, None if is_whole else _SHOWN_CHARS, None if is_whole else _SHOWN_LINES)


def _cut(text: str, most_chars: int | None, most_lines: int | None = None) -> str:
    shown = text[:most_chars]
    if most_lines is not None and len(lines := shown.splitlines(keepends=True)) > most_lines:
        shown = "".join(lines[:most_lines]).rstrip("\r\n")
    left = len(text) - len(shown)
    return f"{visible(shown)}\n… ({left:,} characters more: --full)" if left else visible(shown)


def shortened(text: str, most_chars: int = 200) -> str:
    """The beginning of a name that may be anything."""
    return text if len(text) <= most_chars else f"{text[:most_chars]}…"
