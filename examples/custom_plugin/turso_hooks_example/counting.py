"""A plugin that keeps state: how many events there were.

Only the record is redacted. Event hooks get events as the runner said them, so a plugin that keeps more than numbers must
itself take care of what it keeps.
"""

from __future__ import annotations

import threading
from collections import Counter

from turso_hooks import Event, ToolCallFinished, hookimpl


class EventCounter:
    """Counts events by kind, and finished tool calls by tool and status. Hooks may be called on any thread, so it locks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def counts(self) -> Counter[str]:
        """A copy of the counts so far, such as `{"ToolCallFinished": 1, "tool search: completed": 1}`."""
        with self._lock:
            return self._counts.copy()

    @hookimpl
    def session_started(self, event: Event) -> None:
        """Count an event by its kind: one function under the names of several hooks."""
        self._count(type(event).__name__)

    message_added = model_call_started = model_call_finished = tool_call_started = session_started
    session_ended = note_added = session_started

    @hookimpl
    def tool_call_finished(self, event: ToolCallFinished) -> None:
        """Count it by tool and status as well. A runner may leave out both: the start told the name, the error the status."""
        status = event.status or ("error" if event.error else "completed")
        self._count(type(event).__name__, f"tool {event.tool_name or '(not named)'}: {status}")

    def _count(self, *names: str) -> None:
        with self._lock:
            self._counts.update(names)


counter = EventCounter()
"""What the entry point `example_counter` names."""
