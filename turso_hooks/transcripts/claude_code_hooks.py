"""What Claude Code tells a hook, one JSON object each time, to events. Pure.

Format: https://docs.anthropic.com/en/docs/claude-code/hooks, and what version 2.1.331 was seen to send. A hook is not told the
time, the model, what was used, or what the model said; the transcript has these (`transcripts.claude_code`), and makes the same
rows of the rest. Within a sub-agent `session_id` is the parent's, and `agent_id` is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from turso_hooks.events import (
    Event,
    MessageAdded,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    derived_event_id,
)
from turso_hooks.transcripts.anthropic import PROVIDER, text_of
from turso_hooks.transcripts.claude_code import AGENT_TYPE, child_session_id

REGISTERED = {
    "SessionStart": False,
    "UserPromptSubmit": True,
    "PreToolUse": True,
    "PostToolUse": True,
    "PostToolUseFailure": True,
    "PermissionRequest": True,
    "SubagentStart": True,
    "SubagentStop": True,
    "Stop": False,
    "SessionEnd": False,
}
"""The hooks worth a process each, and whether Claude Code need not wait for it.

It does not wait for the end of what runs beside it when it ends itself, so the ones that must not be missed are waited for:
at the start, and at the end of a turn and of a session, when what is told begins to be shipped. What is missed of the others
the transcript has.
"""

ENDS = frozenset({"Stop", "SubagentStop", "SessionEnd", "StopFailure"})
"""After these a turn or a session is over, and its transcript is worth reading."""

_RANK = 1
_OF_NO_USE = ENDS - {"SessionEnd", "SubagentStop"} | {"PostToolBatch", "PreCompact", "PostCompact"}
"""Their content is in the transcript, and not here, or is here a second time."""

_OF_TOOL_CALLS = frozenset({"PreToolUse", "PostToolUse", "PostToolUseFailure"})
_KEPT_OUT = frozenset({"session_id", "transcript_path", "cwd", "hook_event_name", "permission_mode", "effort"})


def hook_events(said: Mapping[str, Any], occurred_at: datetime) -> Iterator[Event]:
    """The events of what a hook was told at that time. Raises `ValueError` if it names no session or no hook."""
    parent = text_of(said.get("session_id"))
    name = text_of(said.get("hook_event_name"))
    if parent is None or name is None:
        raise ValueError("what the hook was told names no session or no event")
    agent_id = text_of(said.get("agent_id"))
    session_id = child_session_id(parent, agent_id) if agent_id else parent
    call_id = text_of(said.get("tool_use_id"))
    source = call_id or text_of(said.get("prompt_id")) or ""
    common: dict[str, Any] = {
        "session_id": session_id,
        "event_id": derived_event_id(occurred_at, session_id, "hook", name, source),
        "occurred_at": occurred_at,
        "source_rank": _RANK,
    }
    if name in {"SessionStart", "SubagentStart"}:
        yield SessionStarted(
            **common,
            agent_type=text_of(said.get("agent_type")) or AGENT_TYPE,
            model=text_of(said.get("model")),
            provider=PROVIDER,
            parent_session_id=parent if agent_id else None,
            project=text_of(said.get("cwd")),
        )
    elif name == "UserPromptSubmit" and text_of(said.get("prompt_id")):
        yield MessageAdded(**common, message_id=said["prompt_id"], role="user", content=said.get("prompt"))
    elif name in _OF_TOOL_CALLS and call_id:
        yield _tool_call(name, call_id, said, common)
    elif name in {"SubagentStop", "SessionEnd"}:
        if name == "SessionEnd" or agent_id:
            yield SessionEnded(**common, status="completed")
    elif name not in _OF_NO_USE:
        payload = {key: value for key, value in said.items() if key not in _KEPT_OUT}
        yield NoteAdded(**common, name="permission_asked" if name == "PermissionRequest" else f"hook:{name}", payload=payload)


def _tool_call(name: str, call_id: str, said: Mapping[str, Any], common: dict[str, Any]) -> Event:
    tool: dict[str, Any] = {
        "tool_call_id": call_id,
        "tool_name": text_of(said.get("tool_name")),
        "input": said.get("tool_input"),
    }
    if name == "PreToolUse":
        return ToolCallStarted(**common, **tool)
    if name == "PostToolUse":
        output = said.get("tool_response")
        return ToolCallFinished(**common, **tool, status="completed", output=output, duration_ms=_milliseconds(said))
    status = "cancelled" if said.get("is_interrupt") is True else "error"
    error = text_of(said.get("error")) or "failed"
    return ToolCallFinished(**common, **tool, status=status, error=error, duration_ms=_milliseconds(said))


def _milliseconds(said: Mapping[str, Any]) -> float | None:
    value = said.get("duration_ms")
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
