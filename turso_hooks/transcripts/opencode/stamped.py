"""What every event that is made of OpenCode's has in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from turso_hooks.events import NoteAdded, derived_event_id, row_id

_SOURCE_RANK = 2


def stamped(session_id: str, at: datetime, kind: str, source: str, row: str | None = None) -> dict[str, Any]:
    """The fields that all events have; `source` is what it is made from, and makes its id."""
    return {
        "session_id": session_id,
        "event_id": derived_event_id(at, session_id, kind, source),
        "occurred_at": at,
        "source_rank": _SOURCE_RANK,
        "row_id": row,
    }


def note(session_id: str, at: datetime, name: str, source: str, payload: Any) -> NoteAdded:
    """A note, whose row is that of `source`."""
    row = row_id(session_id, NoteAdded.row_kind, source)
    return NoteAdded(**stamped(session_id, at, "note", source, row), name=name, payload=payload)


def payload_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """An object without its ids and its type."""
    return {key: value for key, value in said.items() if key not in {"id", "messageID", "sessionID", "type"}}
