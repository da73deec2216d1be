"""turso-hooks as its documentation sets it up: the plugin manager, TURSO_DATABASE_URL (set by the parent), every default.

An event is an event: the hook call and the making of its struct, id and time are timed. The first call also opens the journal.
"""

from __future__ import annotations

from pathlib import Path

import turso_hooks
from benchmarks.peers.work import Event, Tool
from turso_hooks import MessageAdded, SessionEnded, SessionStarted, ToolCallFinished

ENOUGH_S = 60


class Peer(Tool):
    def __init__(self, folder: Path, url: str | None) -> None:
        self._hook = turso_hooks.get_plugin_manager().hook

    def log(self, item: Event) -> None:
        kind, session_id, turn, text, answer = item
        if kind == "tool":
            self._hook.tool_call_finished(
                event=ToolCallFinished(
                    session_id=session_id,
                    tool_call_id=f"call-{turn}",
                    tool_name="bash",
                    input={"command": text},
                    output=answer,
                )
            )
        elif kind == "started":
            self._hook.session_started(event=SessionStarted(session_id=session_id, agent_type="planner", model="gpt-5.1"))
        elif kind == "ended":
            self._hook.session_ended(event=SessionEnded(session_id=session_id))
        else:
            self._hook.message_added(event=MessageAdded(session_id=session_id, role=kind, content=text))

    def durable(self) -> None:
        turso_hooks.flush(ENOUGH_S)
