"""OpenAI Agents' SQLiteSession on a file (it sets WAL itself): an event is one awaited `add_items`.

A message is an item, a tool call two, the call and its output, in one `add_items`. A start makes the session object, untimed;
there is nothing to log for it or for an end: 300 events of 302.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents import SQLiteSession

from benchmarks.peers.work import DATABASE, Event, Tool


class Peer(Tool):
    def __init__(self, folder: Path, url: str | None) -> None:
        self._path = folder / DATABASE
        self._session: SQLiteSession | None = None

    def prepare(self, event: Event) -> Event | None:
        if event.kind == "started":
            self.close()
            self._session = SQLiteSession(event.session_id, self._path)
        return None if event.kind in {"started", "ended"} else event

    async def log(self, item: Event) -> None:
        assert self._session is not None
        await self._session.add_items(items(item))

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


def items(event: Event) -> list[Any]:
    if event.kind != "tool":
        return [{"role": event.kind, "content": event.text}]
    call_id, arguments = f"call-{event.turn}", json.dumps({"command": event.text})
    return [
        {"type": "function_call", "call_id": call_id, "name": "bash", "arguments": arguments},
        {"type": "function_call_output", "call_id": call_id, "output": event.answer},
    ]
