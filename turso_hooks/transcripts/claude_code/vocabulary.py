"""What all who log Claude Code say alike: the names of sub-agents' sessions, titles, the note of a denial. Pure."""

from __future__ import annotations

from typing import Any

from turso_hooks.events import NoteAdded, row_id

AGENT_TYPE = "claude-code"
SYNTHETIC = "<synthetic>"
"""The model of a message that Claude Code made itself, to say that the API failed."""

INTERRUPTED = "[Request interrupted by user"
"""How a message begins that says so, in the place of a prompt or of a tool's result."""

_TITLE_CHARS = 120
_MOST_TITLE_CHARS = 500
"""Of which those of a title are taken, without line breaks and the like."""


def child_session_id(session_id: str, agent_id: str) -> str:
    """The session of a sub-agent. Agent ids are told apart within their session only."""
    return f"{session_id}/agent-{agent_id}"


def title_of(prompt: str) -> str | None:
    """A title from what was asked first: its beginning, on one line."""
    return " ".join(prompt[:_MOST_TITLE_CHARS].split())[:_TITLE_CHARS].rstrip() or None


def denied(common: dict[str, Any], call_id: str, tool_name: str | None, reason: str) -> NoteAdded:
    """The note that a tool call was not allowed; one row, whoever saw it."""
    payload = {"tool_call_id": call_id, "tool_name": tool_name, "reason": reason}
    row = row_id(common["session_id"], NoteAdded.row_kind, f"permission_denied:{call_id}")
    return NoteAdded(**common, row_id=row, name="permission_denied", payload=payload)
