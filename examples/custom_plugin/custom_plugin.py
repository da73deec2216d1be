"""A plugin for turso-hooks: hides secrets before anything is kept, and counts what agents do."""

from __future__ import annotations

import re
import threading
from collections import Counter
from datetime import datetime
from typing import Any

import msgspec

from turso_hooks import Event, NoteAdded, ToolCallFinished, hookimpl

# No repetition is followed by one that could match the same: a pattern must not take long over whatever an agent reads.
_PATTERNS = (
    ("[e-mail]", re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")),
    ("[token]", re.compile(r"\bbearer\s{1,8}[A-Za-z0-9._~+/-]{16,}={0,2}", re.IGNORECASE)),
    ("[key]", re.compile(r"\b(?:sk|pk|rk|ghp|gho|xox[bp])[-_][A-Za-z0-9_-]{16,}")),
)
_DROPPED_NOTE = "scratchpad"


def hide(value: Any) -> Any:
    """Plain data with every secret in its texts replaced, keys included."""
    if isinstance(value, str):
        for name, pattern in _PATTERNS:
            value = pattern.sub(name, value)
    elif isinstance(value, bytes):
        value = hide(value.decode("latin-1")).encode("latin-1")  # one character a byte, so the rest stays as it is
    elif isinstance(value, dict):
        value = {hide(key): hide(child) for key, child in value.items()}
    elif isinstance(value, (list, tuple)):
        value = [hide(child) for child in value]
    return value


class CustomPlugin:
    """The redactor and the counter. Hooks are called on any of the agent's threads.

    A hook that does not ask for its `event` is called without it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def counts(self) -> Counter[str]:
        """How many events there were, by kind, and finished tool calls by `tool: name`."""
        with self._lock:
            return Counter(self._counts)

    @hookimpl
    def redact_event(self, event: Event) -> Event | None:
        """The event as it may be kept.

        Agents hand over any object. `to_builtins` makes plain data of it; what it cannot follow to its end, such as a list that
        holds itself, raises, and then the event is dropped and counted: keeping it could leak.
        """
        if isinstance(event, NoteAdded) and event.name == _DROPPED_NOTE:
            return None
        changes: dict[str, Any] = {}
        for name in event.__struct_fields__:
            if not name.endswith("_id"):
                plain = msgspec.to_builtins(getattr(event, name), builtin_types=(bytes, datetime), enc_hook=repr)
                hidden = hide(plain)
                if hidden != plain:
                    changes[name] = hidden
        return msgspec.structs.replace(event, **changes) if changes else event

    @hookimpl
    def session_started(self) -> None:
        """Count it."""
        self._count("session_started")

    @hookimpl
    def message_added(self) -> None:
        """Count it."""
        self._count("message_added")

    @hookimpl
    def model_call_finished(self) -> None:
        """Count it."""
        self._count("model_call_finished")

    @hookimpl
    def tool_call_started(self) -> None:
        """Count it."""
        self._count("tool_call_started")

    @hookimpl
    def tool_call_finished(self, event: ToolCallFinished) -> None:
        """Count it, also by the tool's name if it is told."""
        self._count("tool_call_finished", *([f"tool: {event.tool_name}"] if event.tool_name else []))

    @hookimpl
    def session_ended(self) -> None:
        """Count it."""
        self._count("session_ended")

    def _count(self, *names: str) -> None:
        with self._lock:
            self._counts.update(names)


plugin = CustomPlugin()
"""What the entry point names."""
