"""llm's `Response.log_to_db`: its event is a turn, a response with its prompt, its tool call and the result of the call before.

So three events of a conversation are one timed call, 100 in all, and a start and an end none. A scripted model answers before
the call. The database is opened with WAL, which llm leaves to its caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm
import sqlite_utils

from benchmarks.peers.work import DATABASE, Event, Tool


class Scripted(llm.Model):
    model_id = "scripted"
    supports_tools = True

    def __init__(self) -> None:
        self.answer = ""
        self.call: llm.ToolCall | None = None

    def execute(self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: Any) -> Iterator[str]:
        response.add_tool_call(self.call)
        yield self.answer


class Peer(Tool):
    def __init__(self, folder: Path, url: str | None) -> None:
        self._database = sqlite_utils.Database(folder / DATABASE)
        self._database.enable_wal()
        self._model = Scripted()
        self._conversation = self._model.conversation()
        self._question = ""
        self._results: list[llm.ToolResult] = []

    def prepare(self, event: Event) -> llm.Response | None:
        if event.kind == "started":
            self._conversation = self._model.conversation()
            self._results = []
        elif event.kind == "user":
            self._question = event.text
        elif event.kind == "assistant":
            self._model.answer = event.text
        elif event.kind == "tool":
            return self._turn(event)
        return None

    def _turn(self, event: Event) -> llm.Response:
        call_id = f"call-{event.turn}"
        self._model.call = llm.ToolCall("bash", {"command": event.text}, call_id)
        response = self._conversation.prompt(self._question, tool_results=self._results)
        response.text()
        self._results = [llm.ToolResult("bash", event.answer, tool_call_id=call_id)]
        return response

    def log(self, item: llm.Response) -> None:
        item.log_to_db(self._database)

    def close(self) -> None:
        self._database.close()
