"""Reading a transcript's lines in order. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from turso_hooks.events import Event
from turso_hooks.transcripts.anthropic import text_of
from turso_hooks.transcripts.claude_code.files import SubAgent, value_of
from turso_hooks.transcripts.claude_code.line import LineEvents, Unused, time_of
from turso_hooks.transcripts.claude_code.session import SessionEvents
from turso_hooks.transcripts.claude_code.state import Session, State
from turso_hooks.transcripts.claude_code.vocabulary import child_session_id

_OF_NO_USE = frozenset(
    {
        "agent-name",
        "api-request",
        "api-request-blob",
        "api-request-shape",
        "atis-latch",
        "file-history-snapshot",
        "last-prompt",
        "mode",
        "permission-mode",
        "progress",
        "queue-operation",
        "tools-used",
    }
)
"""Lines that repeat what others say, or are Claude Code's own book-keeping."""

_MOST_SESSIONS = 50
"""How many are remembered: far more than a file has at once, and so few that a file without end does no harm."""


class Reader:
    """Turns the lines of one file into events.

    `session_id` is that of lines which name none, `recorded_at` the time of those before the first that has one. For
    the file of a sub-agent, `agent` says which.
    """

    def __init__(
        self, session_id: str, recorded_at: datetime, *, agent: SubAgent | None = None, state: State | None = None
    ) -> None:
        self.state = state or State()
        self.not_understood: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._default_id = session_id
        self._recorded_at = recorded_at
        self._agent = agent
        self._prices: dict[str, float] = {}
        self._late: list[Event] = []
        """What is said of a session when it is forgotten."""

    def read(self, line: bytes, position: int) -> list[Event]:
        """The events of one line, which is the one at `position` of its file. Never raises for what is in it."""
        try:
            said = value_of(line)
        except (ValueError, RecursionError):
            self.not_understood["line that is not JSON"] += 1
            return []
        if not isinstance(said, dict):
            self.not_understood["line that is no object"] += 1
            return []
        events = list(self._line(said, position))
        late, self._late = self._late, []
        return [*late, *events]

    def flush(self) -> list[Event]:
        """What is known of messages and tool calls of which more may come: said now, and again if more comes."""
        events: list[Event] = []
        for name, session in self.state.sessions.items():
            lines = SessionEvents(name, session)
            events += [*lines.message(), *lines.running()]
        return events

    def finish(self) -> list[Event]:
        """The ends of sessions in whose file nothing will come any more, if they do not say it themselves."""
        events = self.flush()
        for name, session in self.state.sessions.items():
            if session.is_open and not session.awaits_answer:
                events += SessionEvents(name, session).end()
        return events

    def prices(self) -> dict[str, float]:
        """What a token of input costs, for each model of which the file has told it."""
        return {model: price for session in self.state.sessions.values() for model, price in session.prices.items()}

    def set_prices(self, prices: Mapping[str, float]) -> list[Event]:
        """Take over prices that are known from elsewhere: of sub-agents they are told only in the transcript of the session."""
        events: list[Event] = []
        self._prices = dict(prices)
        for name, session in self.state.sessions.items():
            session.prices.update(prices)
            events += SessionEvents(name, session).costs()
        return events

    def _line(self, said: dict[str, Any], position: int) -> Iterator[Event]:
        kind = text_of(said.get("type"))
        if kind in _OF_NO_USE:
            self._note_birth(said)
            self.skipped[kind] += 1
            return
        name = self._session_of(said)
        session = self._remembered(name, time_of(said))
        lines = LineEvents(name, session, self._agent, Unused(self.not_understood, self.skipped), said, position)
        if kind in {"user", "assistant"} and isinstance(said.get("message"), dict):
            yield from lines.user() if kind == "user" else lines.assistant()
        elif kind == "system":
            yield from lines.system()
        elif kind == "attachment":
            yield from lines.attachment()
        elif kind == "cost-state":
            yield from lines.cost_state()
        elif kind in {"summary", "ai-title", "custom-title"}:
            yield from lines.entitled()
        else:
            self.not_understood[f"line of type {kind:.60}" if kind else "line without a type"] += 1
            yield lines.note(f"unknown:{kind or '':.60}", said)

    def _note_birth(self, said: Mapping[str, Any]) -> None:
        occurred_at = time_of(said)
        if occurred_at is not None:
            self._remembered(self._session_of(said), occurred_at)

    def _session_of(self, said: Mapping[str, Any]) -> str:
        session_id = text_of(said.get("sessionId")) or self._default_id
        agent_id = text_of(said.get("agentId")) or (self._agent.agent_id if self._agent else None)
        return child_session_id(session_id, agent_id) if agent_id else session_id

    def _remembered(self, name: str, occurred_at: datetime | None) -> Session:
        sessions = self.state.sessions
        session = sessions.get(name)
        if session is None:
            while len(sessions) >= _MOST_SESSIONS:
                forgotten = next(iter(sessions))
                lines = SessionEvents(forgotten, sessions.pop(forgotten))
                self._late += [*lines.message(), *lines.running()]
            session = sessions[name] = Session(last_at=self._recorded_at, prices=dict(self._prices))
        elif len(sessions) > 1:
            sessions[name] = sessions.pop(name)  # the one that was used last is forgotten last
        if occurred_at is not None and (session.born_at is None or occurred_at > session.last_at):
            session.born_at = session.born_at or occurred_at
            session.last_at = occurred_at
        return session
