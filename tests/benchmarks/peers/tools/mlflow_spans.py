"""MLflow's tracing with the tracking store on SQLite: a turn is a trace, which MLflow exports when its root span ends.

An event is a span: the question begins the root, the answer is a span within it, the tool call another, and with that the root
ends too. A start and an end have no place in it: 300 events of 302. With a URL the tracking store is an HTTP server.
"""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow.entities import LiveSpan

from benchmarks.peers.work import DATABASE, Event, Tool


class Peer(Tool):
    def __init__(self, folder: Path, url: str | None) -> None:
        mlflow.set_tracking_uri(url or f"sqlite:///{folder / DATABASE}")
        self._turn: LiveSpan | None = None

    def prepare(self, event: Event) -> Event | None:
        return None if event.kind in {"started", "ended"} else event

    def log(self, item: Event) -> None:
        if item.kind == "user":
            self._turn = mlflow.start_span_no_context(
                "turn", inputs=item.text, metadata={"mlflow.trace.session": item.session_id}
            )
            return
        assert self._turn is not None
        if item.kind == "assistant":
            mlflow.start_span_no_context("answer", span_type="LLM", parent_span=self._turn).end(outputs=item.text)
            return
        call = mlflow.start_span_no_context("bash", span_type="TOOL", parent_span=self._turn, inputs={"command": item.text})
        call.end(outputs=item.answer)
        self._turn.end()

    def durable(self) -> None:
        mlflow.flush_trace_async_logging()
