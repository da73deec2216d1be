"""What rules look at: the events of a session, together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from turso_hooks.events import Event, MessageAdded, SessionStarted, ToolCallFinished, ToolCallStarted

E = TypeVar("E", bound=Event)


class Session:
    """The events of one session, in the order in which they were emitted, with their values as they are kept."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.events: list[Event] = []
        self.without_zone: list[Event] = []
        """Those of which it was not said in which zone their time is."""

    def of(self, *kinds: type[E]) -> list[E]:
        """Those of some kinds."""
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def model(self) -> str | None:
        """The one that its start names."""
        return next((event.model for event in self.of(SessionStarted) if event.model), None)

    def tool_call_ids(self) -> set[str | None]:
        """Of the calls that were told, and of those that were asked for in messages."""
        told = {event.tool_call_id for event in self.of(ToolCallStarted, ToolCallFinished)}
        return told | {part["tool_call_id"] for _, part in self.parts("tool_call")}

    def parts(self, kind: str) -> Iterator[tuple[MessageAdded, Mapping[str, Any]]]:
        """The parts of one kind in its messages."""
        for message in self.of(MessageAdded):
            for part in message.content if isinstance(message.content, list) else ():
                if isinstance(part, dict) and part.get("type") == kind:
                    yield message, {"tool_call_id": None, **part}


Sessions = Mapping[str, Session]
"""By their ids."""
