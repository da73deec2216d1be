"""OpenTelemetry's SDK: an event is a span with its text as attributes, ended at once, through a BatchSpanProcessor of defaults.

The exporter inserts a batch in one transaction (WAL, NORMAL). With a URL it is OpenTelemetry's own OTLP/HTTP exporter.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.peers.tools.floors import database_with_events
from benchmarks.peers.work import Event, Tool


class SQLiteExporter(SpanExporter):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        rows = [(span.name, json.dumps(dict(span.attributes or {}))) for span in spans]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO events (kind, text) VALUES (?, ?)", rows)
        return SpanExportResult.SUCCESS


class Peer(Tool):
    def __init__(self, folder: Path, url: str | None) -> None:
        exporter = OTLPSpanExporter(f"{url}/v1/traces") if url else SQLiteExporter(database_with_events(folder))
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("peers")

    def log(self, item: Event) -> None:
        attributes = {"session": item.session_id, "turn": item.turn, "text": item.text, "answer": item.answer}
        self._tracer.start_span(item.kind, attributes=attributes).end()

    def durable(self) -> None:
        self._provider.force_flush(60_000)

    def close(self) -> None:
        self._provider.shutdown()
