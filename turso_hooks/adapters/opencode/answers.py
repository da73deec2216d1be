"""Answers of a model that are not whole: what has come of them so far. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from io import StringIO
from typing import Any

from turso_hooks.transcripts.anthropic import mapping_of, text_of
from turso_hooks.transcripts.opencode import is_whole_part

_MOST_PARTIAL_CHARS = 1 << 22
"""Of one answer: far more than any has, and so little that a server without end does no harm."""


class Answer:
    """What is known of an answer that is not whole."""

    def __init__(self, session_id: str, message_id: str) -> None:
        self.session_id = session_id
        self.message_id = message_id
        self.info: Mapping[str, Any] = {}
        self.directory: str | None = None
        self.is_lost = False
        self._parts: dict[str, Mapping[str, Any]] = {}
        self._came: dict[str, StringIO] = {}
        """What has come of each part since it was told."""
        self._chars = 0

    def since(self, default: datetime) -> datetime:
        """When it was begun."""
        return time_of(mapping_of(self.info.get("time")).get("created")) or default

    def set_parts(self, parts: Any) -> None:
        """Take over what the server says, which of a part that is not whole is less than its stream has said."""
        for part in parts if isinstance(parts, list) else []:
            part_id = text_of(mapping_of(part).get("id"))
            if part_id is not None and (is_whole_part(part) or part_id not in self._parts):
                self.take(part_id, part)

    def take(self, part_id: str, part: Mapping[str, Any]) -> None:
        """Take over what is said of a part."""
        self._parts[part_id] = part
        self._came.pop(part_id, None)

    def add(self, delta: Mapping[str, Any]) -> None:
        """Append what has come of a part."""
        part_id, field, more = text_of(delta.get("partID")), delta.get("field"), delta.get("delta")
        if part_id not in self._parts or field != "text" or not isinstance(more, str) or self._chars > _MOST_PARTIAL_CHARS:
            return
        self._chars += len(more)
        self._came.setdefault(part_id, StringIO()).write(more)

    def message(self) -> Mapping[str, Any]:
        """The message as far as it is known."""
        return {"info": self.info, "parts": [self._part(part_id) for part_id in self._parts]}

    def _part(self, part_id: str) -> Mapping[str, Any]:
        part, came = self._parts[part_id], self._came.get(part_id)
        return part if came is None else {**part, "text": f"{part.get('text') or ''}{came.getvalue()}"}


def time_of(value: Any) -> datetime | None:
    """A time as OpenCode says it, in milliseconds since 1970; None if it is none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1 << 47:
        return None
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=value)
