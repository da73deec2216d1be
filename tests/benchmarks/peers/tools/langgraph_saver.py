"""LangGraph's SqliteSaver (it sets WAL itself): an event is a `put` of a checkpoint, as a graph makes one after each step.

A checkpoint holds the whole state, so the list of messages so far is in each of them, as it is in a graph with a `messages`
channel; a tool call adds two messages. The checkpoint is put together before the timed call: the graph's runtime does that.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.peers.work import DATABASE, Event, Tool


class Peer(Tool):
    def __init__(self, folder: Path, url: str | None) -> None:
        self._connection = sqlite3.connect(folder / DATABASE, check_same_thread=False)  # as from_conn_string has it
        self._saver = SqliteSaver(self._connection)
        self._saver.setup()
        self._config: Any = None
        self._messages: list[AnyMessage] = []

    def prepare(self, event: Event) -> Checkpoint:
        if event.kind == "started":
            self._config = {"configurable": {"thread_id": event.session_id, "checkpoint_ns": ""}}
            self._messages = []
        self._messages += messages(event)
        return {**empty_checkpoint(), "channel_values": {"messages": self._messages}}

    def log(self, item: Checkpoint) -> None:
        step = len(self._messages)
        self._config = self._saver.put(self._config, item, {"source": "loop", "step": step}, {"messages": str(step)})

    def close(self) -> None:
        self._connection.close()


def messages(event: Event) -> list[AnyMessage]:
    if event.kind == "user":
        return [HumanMessage(event.text)]
    if event.kind == "assistant":
        return [AIMessage(event.text)]
    if event.kind == "tool":
        call_id = f"call-{event.turn}"
        call = {"name": "bash", "args": {"command": event.text}, "id": call_id}
        return [AIMessage("", tool_calls=[call]), ToolMessage(event.answer, tool_call_id=call_id)]
    return []
