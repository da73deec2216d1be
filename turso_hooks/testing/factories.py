"""Events to try plugins and readers with: any kind of them in one line, and whole conversations that are as they should be."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

from turso_hooks.events import (
    EVENT_TYPES,
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallPart,
    ToolCallStarted,
    Usage,
    hook_name,
)

_BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
_KINDS = {hook_name(kind): kind for kind in EVENT_TYPES}
_FIELDS: dict[type[Event], dict[str, Any]] = {
    SessionStarted: {"agent_type": "tester", "model": "test-model", "provider": "test-provider"},
    MessageAdded: {"role": "user", "content": "Hello"},
    ModelCallStarted: {"model_call_id": "model-1", "model": "test-model"},
    ModelCallFinished: {"model_call_id": "model-1", "model": "test-model", "usage": Usage(input=12, output=7)},
    ToolCallStarted: {"tool_call_id": "call-1", "tool_name": "clock", "input": {"zone": "UTC"}},
    ToolCallFinished: {"tool_call_id": "call-1", "tool_name": "clock", "output": "09:41"},
    _KINDS["note_added"]: {"name": "compaction"},
}
"""What is worth having in an event that says nothing else."""


def make_event(kind: str, **fields: Any) -> Event:
    """An event that announces itself by the hook `kind` (`"message_added"`), with plausible fields unless they are given.

    Raises `ValueError` for a hook that does not exist, and `TypeError` for a field that the event does not have.
    """
    made = _KINDS.get(kind)
    if made is None:
        raise ValueError(f"there is no hook {kind!r:.40}: there are {', '.join(_KINDS)}")
    return made(**{"session_id": "session-1", **_FIELDS.get(made, {}), **fields})


def make_conversation(
    session_id: str = "session-1",
    *,
    turns: int = 2,
    begin: datetime = _BEGIN,
    seed: int = 0,
    parent: tuple[str, str] | None = None,
) -> list[Event]:
    """A session whole and in order, from its start to its end, in which each turn calls a tool.

    The same arguments give the same conversation, event ids included; events follow each other by seconds from `begin` on.
    `parent` makes a sub-agent's of it: the session and the tool call that started it.
    """
    return _Conversation(session_id, begin, random.Random(f"{session_id} {seed}")).events(turns, parent)  # noqa: S311  # no secret


class _Conversation:
    def __init__(self, session_id: str, begin: datetime, chance: random.Random) -> None:
        self._session_id = session_id
        self._at = begin
        self._chance = chance

    def events(self, turns: int, parent: tuple[str, str] | None) -> list[Event]:
        parent_session_id, parent_tool_call_id = parent or (None, None)
        started = self._say(
            "session_started",
            title="A conversation to try things with",
            parent_session_id=parent_session_id,
            parent_tool_call_id=parent_tool_call_id,
        )
        said = [event for n in range(turns) for event in self._turn(n)]
        return [started, *said, self._say("session_ended")]

    def _turn(self, n: int) -> list[Event]:
        tool_call_id, zone = f"call-{n}", self._chance.choice(["UTC", "Asia/Tokyo", "America/Lima"])
        output = f"{self._chance.randrange(24):02}:{self._chance.randrange(60):02}"
        call: dict[str, Any] = {"tool_call_id": tool_call_id, "tool_name": "clock", "input": {"zone": zone}}
        asked = [TextPart(text="I look it up."), ToolCallPart(**call)]
        return [
            self._message(n, "user", f"What time is it in {zone}?"),
            *self._model_call(f"model-{n}-1", "tool_use"),
            self._message(n, "assistant", asked),
            self._say("tool_call_started", **call),
            self._say("tool_call_finished", **call, output=output, duration_ms=self._chance.randrange(1000)),
            self._message(n, "tool", output, tool_call_id=tool_call_id, tool_name="clock"),
            *self._model_call(f"model-{n}-2", "end_turn"),
            self._message(n, "answer", f"It is {output}."),
        ]

    def _message(self, n: int, what: str, content: object, **fields: Any) -> Event:
        role = "assistant" if what == "answer" else what
        return self._say("message_added", message_id=f"message-{n}-{what}", role=role, content=content, **fields)

    def _model_call(self, model_call_id: str, finish_reason: str) -> list[Event]:
        usage = Usage(input=self._chance.randrange(100, 1000), output=self._chance.randrange(1, 100))
        finished = {"usage": usage, "finish_reason": finish_reason, "duration_ms": self._chance.randrange(100, 5000)}
        return [
            self._say("model_call_started", model_call_id=model_call_id),
            self._say("model_call_finished", model_call_id=model_call_id, **finished),
        ]

    def _say(self, kind: str, **fields: Any) -> Event:
        self._at += timedelta(seconds=1)
        event_id = f"{self._chance.getrandbits(128):032x}"
        return make_event(kind, session_id=self._session_id, event_id=event_id, occurred_at=self._at, **fields)
