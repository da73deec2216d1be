"""A friendly face for hand-written loops: says in method calls what happened, and emits the hooks. Nothing else.

    log = ConversationLogger(agent_type="planner", model="gpt-5.1")
    with log.session(title="Plan the trip") as session_id:
        log.log_message(session_id, "user", "Where to?")
        with log.tool_call(session_id, "search", {"query": "Lisbon"}) as call:
            call.output = search("Lisbon")

Its methods never raise because of logging, and may be called from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turso_hooks.errors import describe
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    new_event_id,
)
from turso_hooks.manager import PluginManager, get_plugin_manager

if TYPE_CHECKING:
    from turso_hooks.events.model import Content

_CANCELLED = ("CancelledError", "Cancelled", "KeyboardInterrupt", "GeneratorExit")
"""What asyncio, trio, a person and a closed generator call being stopped; none of it is an error of the agent's."""


@dataclass
class Call:
    """A tool call or model call that is running: put in it what comes out."""

    call_id: str
    output: Any = None
    usage: Usage | None = None
    finish_reason: str | None = None
    cost_usd: float | None = None


class ConversationLogger:
    """Logs conversations of one kind of agent.

    What is given here stands in every session that this logger starts, unless it says otherwise. `manager` is the plugin
    manager whose hooks are called; by default the process's.
    """

    def __init__(
        self,
        *,
        agent_type: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        manager: PluginManager | None = None,
    ) -> None:
        self._defaults: dict[str, Any] = {"agent_type": agent_type, "model": model, "provider": provider}
        self._manager = manager

    def start_session(self, session_id: str | None = None, **fields: Any) -> str:
        """Begin a session, or take one up again; returns its id, a new one if none is given.

        `fields` are those of `SessionStarted`.
        """
        chosen = session_id or new_event_id()
        self._emit(SessionStarted(session_id=chosen, **{**self._defaults, **fields}))
        return chosen

    def end_session(self, session_id: str, status: str | None = None, error_message: str | None = None) -> None:
        """End a session: completed, error or cancelled; without a status, error if there is a message, else completed."""
        self._emit(SessionEnded(session_id=session_id, status=status, error_message=error_message))

    def log_message(self, session_id: str, role: str, content: Content = None, **fields: Any) -> None:
        """Log a message. `fields` are those of `MessageAdded`."""
        self._emit(MessageAdded(session_id=session_id, role=role, content=content, **fields))

    def log_tool_execution(
        self, session_id: str, tool_name: str, tool_input: Any = None, output: Any = None, **fields: Any
    ) -> None:
        """Log a tool call that is over. `fields` are those of `ToolCallFinished`."""
        self._emit(ToolCallFinished(session_id=session_id, tool_name=tool_name, input=tool_input, output=output, **fields))

    def log_note(self, session_id: str, name: str, payload: Any = None) -> None:
        """Log anything else worth keeping."""
        self._emit(NoteAdded(session_id=session_id, name=name, payload=payload))

    @contextmanager
    def session(self, session_id: str | None = None, **fields: Any) -> Iterator[str]:
        """A session from start to end: an exception ends it as error or cancelled, and goes on its way."""
        chosen = self.start_session(session_id, **fields)
        try:
            yield chosen
        except BaseException as error:
            status, message = _outcome(error)
            self.end_session(chosen, status, message)
            raise
        self.end_session(chosen, "completed")

    @contextmanager
    def tool_call(
        self, session_id: str, tool_name: str, tool_input: Any = None, *, tool_call_id: str | None = None
    ) -> Iterator[Call]:
        """A tool call from start to end, timed; an exception is recorded as its error, and goes on its way."""
        call = Call(tool_call_id or new_event_id())
        names: dict[str, Any] = {"session_id": session_id, "tool_call_id": call.call_id, "tool_name": tool_name}
        self._emit(ToolCallStarted(**names, input=tool_input))
        started = time.perf_counter()
        try:
            yield call
        except BaseException as error:
            status, message = _outcome(error)
            self._emit(ToolCallFinished(**names, status=status, error=message, duration_ms=_since(started)))
            raise
        self._emit(ToolCallFinished(**names, status="completed", output=call.output, duration_ms=_since(started)))

    @contextmanager
    def model_call(self, session_id: str, *, model: str | None = None, model_call_id: str | None = None) -> Iterator[Call]:
        """A model call from start to end, timed; put usage and finish reason into what this yields."""
        call = Call(model_call_id or new_event_id())
        names: dict[str, Any] = {
            "session_id": session_id,
            "model_call_id": call.call_id,
            "model": model or self._defaults["model"],
            "provider": self._defaults["provider"],
        }
        self._emit(ModelCallStarted(**names))
        started = time.perf_counter()
        try:
            yield call
        except BaseException as error:
            self._emit(ModelCallFinished(**names, error=describe(error), duration_ms=_since(started)))
            raise
        self._emit(
            ModelCallFinished(
                **names,
                usage=call.usage,
                finish_reason=call.finish_reason,
                cost_usd=call.cost_usd,
                duration_ms=_since(started),
            )
        )

    def _emit(self, event: Event) -> None:
        (self._manager or get_plugin_manager()).emit(event)


def _outcome(error: BaseException) -> tuple[str, str]:
    """The status and the message that an exception ends something with."""
    status = "cancelled" if type(error).__name__ in _CANCELLED else "error"
    return status, describe(error)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
