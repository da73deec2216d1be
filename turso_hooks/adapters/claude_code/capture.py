"""From what hooks were told, and from the transcripts they named, to events: the work of the process that drains an inbox.

It can be killed anywhere: an inbox file is deleted when all of it is recorded, and what is read twice makes the same events.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from turso_hooks.adapters.claude_code.following import Follower
from turso_hooks.adapters.claude_code.inbox import Inbox
from turso_hooks.events import Event
from turso_hooks.transcripts.claude_code import value_of
from turso_hooks.transcripts.claude_code_hooks import ENDS, hook_events

REFUSED, UNREADABLE = "hook_refused", "hook_unreadable"
"""Reasons that are counted: what the inbox did not take, and what in it is not what a hook is told."""


class _Line(msgspec.Struct):
    at: int
    said: dict[str, Any]


class Capture:
    """Takes what waits in an inbox, and follows the transcripts of the sessions in it."""

    def __init__(
        self, inbox: Inbox, follower: Follower, emit: Callable[[Event], object], count: Callable[[str, int], object]
    ) -> None:
        self._inbox = inbox
        self._follower = follower
        self._emit = emit
        self._count = count
        self._followed: dict[Path, None] = {}

    def poll(self) -> int:
        """Emit what is new; how many lines that were, of the inbox and of transcripts."""
        number = 0
        for path in self._inbox.take():
            with Path(path).open("rb") as file:
                number += sum(self._line(line) for line in file if line.strip())
        if refused := self._inbox.take_refused():
            self._count(REFUSED, refused)
        return number + sum(self._follower.read(path) for path in self._followed)

    def _line(self, line: bytes) -> int:
        try:
            kept = msgspec.convert(value_of(line), _Line)
            occurred_at = datetime.fromtimestamp(kept.at / 1e9, timezone.utc)
            for event in hook_events(kept.said, occurred_at):
                self._emit(event)
        except (msgspec.ValidationError, ValueError, OverflowError, OSError, RecursionError):  # of a date, or of JSON in JSON
            self._count(UNREADABLE, 1)
            return 1
        transcript = kept.said.get("transcript_path")
        if kept.said.get("hook_event_name") in ENDS and isinstance(transcript, str) and transcript.endswith(".jsonl"):
            self._followed[Path(transcript)] = None
        return 1
