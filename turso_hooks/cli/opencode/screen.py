"""What `watch opencode` shows: on a terminal a line a session that changes, else a line whenever a session's turn is over."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import Self

from turso_hooks.cli.text import one_line, plural, remark
from turso_hooks.events import Event, MessageAdded, SessionEnded, SessionStarted, ToolCallFinished, ToolCallStarted

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_MOST_LINES = 12
_MOST_SESSIONS = 200
_TITLE_CHARS = 50


@dataclass
class _Session:
    session_id: str
    title: str = ""
    status: str = "running"
    messages: set[str | None] = field(default_factory=set)
    tool_calls: set[str | None] = field(default_factory=set)

    def line(self) -> str:
        counted = f"{plural(len(self.messages), 'message')}, {plural(len(self.tool_calls), 'tool call')}"
        return f"{self.status:>9}  {one_line(self.session_id)}  {counted}  {one_line(self.title)[:_TITLE_CHARS]}"


class Screen:
    """Shows sessions as their events come; as a context, or the terminal is left with half a picture."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._live = _live(self) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture."""
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def say(self, text: str) -> None:
        """Print a line above the picture."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            remark(text)

    def tell(self, trouble: str | None) -> None:
        """Say that the server is out of reach, or there again."""
        self.say("it can be reached again" if trouble is None else f"{one_line(trouble)}; trying again")

    def show(self, event: Event) -> None:
        """Take an event into the picture."""
        session = self._sessions.pop(event.session_id, None) or _Session(event.session_id)
        self._sessions[event.session_id] = session
        if len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        if isinstance(event, SessionStarted):
            session.title, session.status = event.title or session.title, "running"
        elif isinstance(event, MessageAdded):
            session.messages.add(event.message_id)
        elif isinstance(event, (ToolCallStarted, ToolCallFinished)):
            session.tool_calls.add(event.tool_call_id)
        elif isinstance(event, SessionEnded):
            session.status = event.status or "completed"
            if self._live is None:
                self.say(session.line())

    def picture(self) -> Text:
        """The sessions that changed last."""
        from rich.text import Text  # noqa: PLC0415  # costs 50 ms, and is wanted on terminals only

        return Text("\n".join(session.line() for session in list(self._sessions.values())[-_MOST_LINES:]))


def _live(screen: Screen) -> Live:
    from rich.console import Console  # noqa: PLC0415  # as above
    from rich.live import Live  # noqa: PLC0415

    return Live(get_renderable=screen.picture, console=Console(stderr=True), refresh_per_second=4)
