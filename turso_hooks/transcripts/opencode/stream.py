"""What only the stream of a server says, as notes: questions and their answers, retries, errors without a message. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from turso_hooks.events import Event, NoteAdded
from turso_hooks.transcripts.anthropic import mapping_of, text_of
from turso_hooks.transcripts.opencode.stamped import note, payload_of

_QUESTIONS = {"permission.asked": "permission_asked", "question.asked": "question_asked"}
_ANSWERS = {
    "permission.replied": "permission_replied",
    "question.replied": "question_replied",
    "question.rejected": "question_rejected",
}
_WITHOUT_MESSAGE = frozenset({"UnknownError", "ProviderAuthError"})
"""Errors that may come before there is a message to hold them; the others a message tells, and a stream a second time."""

_REMOVALS = frozenset({"session.deleted", "message.removed", "message.part.removed"})

_OF_NO_USE = (
    "catalog.",
    "command.executed",
    "file.",
    "global.",
    "ide.",
    "installation.",
    "integration.",
    "lsp.",
    "mcp.",
    "message.",
    "models-dev.",
    "permission.v2.",
    "plugin.",
    "project.",
    "pty.",
    "question.v2.",
    "reference.",
    "server.",
    "session.compacted",
    "session.created",
    "session.diff",
    "session.idle",
    "session.next.",
    "session.status",
    "session.updated",
    "sync",
    "todo.",
    "tui.",
    "vcs.",
    "workspace.",
    "worktree.",
)
"""How the types of events begin that repeat what the messages say, or are not about a conversation."""


def said(event: Mapping[str, Any], at: datetime, not_understood: Counter[str]) -> list[Event]:
    """What an event of the stream says that no message will, and no session's `info`.

    Of the time of most is known only when they came, which is `at`. Types that are not known are counted in `not_understood`.
    """
    kind, properties = text_of(event.get("type")) or "", mapping_of(event.get("properties"))
    session_id = text_of(properties.get("sessionID"))
    is_of_no_use = kind.startswith(_OF_NO_USE) and kind not in _REMOVALS and kind != "session.status"
    if is_of_no_use or (session_id is None and kind.startswith(_OF_NO_USE)):
        return []
    if session_id is None:
        not_understood[f"event of type {kind:.60}"] += 1
        return []
    if kind in _QUESTIONS:
        return [asked(properties, at, _QUESTIONS[kind])]
    if kind == "session.status":
        return retried(session_id, mapping_of(properties.get("status")), at)
    return _note(event, kind, session_id, properties, at, not_understood)


def _note(  # noqa: PLR0913, PLR0917  # an event taken apart
    event: Mapping[str, Any],
    kind: str,
    session_id: str,
    properties: Mapping[str, Any],
    at: datetime,
    not_understood: Counter[str],
) -> list[Event]:
    event_id = text_of(event.get("id")) or ""
    if kind in _ANSWERS:
        question = text_of(properties.get("requestID")) or text_of(properties.get("permissionID")) or event_id
        return [note(session_id, at, _ANSWERS[kind], f"{question}:reply", payload_of(properties))]
    if kind == "session.error":
        error = mapping_of(properties.get("error"))
        return [note(session_id, at, "error", event_id, dict(error))] if text_of(error.get("name")) in _WITHOUT_MESSAGE else []
    if kind in _REMOVALS:
        source = ":".join(filter(None, (kind, text_of(properties.get("messageID")), text_of(properties.get("partID")))))
        return [note(session_id, at, kind.replace(".", "_"), source, payload_of(properties))]
    not_understood[f"event of type {kind:.60}"] += 1
    return [note(session_id, at, f"unknown:{kind:.60}", event_id, payload_of(properties))]


def asked(question: Mapping[str, Any], at: datetime, name: str = "permission_asked") -> NoteAdded:
    """The note that the user was asked something, such as whether a tool may run."""
    payload = payload_of(question)
    call_id = text_of(mapping_of(question.get("tool")).get("callID"))
    if call_id:
        payload = {**payload, "tool_call_id": call_id}
    return note(text_of(question.get("sessionID")) or "", at, name, text_of(question.get("id")) or "", payload)


def retried(session_id: str, status: Mapping[str, Any], at: datetime) -> list[Event]:
    """The note that a model is asked once more, if that is what a session is at."""
    if status.get("type") != "retry":
        return []
    return [note(session_id, at, "retry", f"retry:{status.get('next')}", dict(status))]
