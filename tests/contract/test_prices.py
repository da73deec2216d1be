"""What a question reads, by the engine's own count: no more than it says, in a large database as in a small one."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from contract.test_search import index_all, write_by
from serving.servers import LibsqlServer
from turso_hooks.drivers import Database, Rows, open_database, parse_database_url
from turso_hooks.drivers.hrana import execute, request_body
from turso_hooks.events import Event, MessageAdded, ModelCallFinished, SessionEnded, SessionStarted, ToolCallFinished
from turso_hooks.query import Reader
from turso_hooks.store import prepare_schema

START = datetime.now(timezone.utc) - timedelta(hours=23)
IN_EACH = 20
SMALL, LARGE, TOGETHER = 60, 600, 40


class Noting:
    """A database that notes what it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked: list[tuple[str, Sequence[Any] | dict[str, Any]]] = []
        self.name = database.name

    def execute(self, sql: str, arguments: Sequence[Any] | dict[str, Any] = (), *, operation: str = "read") -> Rows:
        self.asked.append((sql, arguments))
        return self._database.execute(sql, arguments, operation=operation)

    def look(self, sql: str, *, operation: str = "read") -> Rows:
        return self.execute(sql, operation=operation)


def rows_read(server: LibsqlServer, asked: list[tuple[str, Any]]) -> int:
    """What the server says it has read for these statements."""
    body = request_body([execute(sql, arguments) for sql, arguments in asked])
    request = urllib.request.Request(f"{server.url}/v2/pipeline", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        results = json.load(answer)["results"]
    return sum(result["response"]["result"]["rows_read"] for result in results)


def session(n: int) -> list[Event]:
    began = START + timedelta(seconds=30 * n)
    session_id = f"s{n:05}"
    events: list[Event] = [
        SessionStarted(
            session_id=session_id,
            agent_type="ab"[n % 2],
            model=f"model-{n % 7}",
            parent_session_id="s00000" if 0 < n < 4 else None,
            occurred_at=began,
        )
    ]
    for k in range(IN_EACH):
        at = began + timedelta(seconds=k)
        text = f"word {'rare' if n % 20 == 0 and k == 0 else 'common'} {k}"
        events.append(MessageAdded(session_id=session_id, role="user", message_id=str(k), content=text, occurred_at=at))
    events.append(ToolCallFinished(session_id=session_id, tool_call_id="c", tool_name="ls", output="word", occurred_at=at))
    events.append(ModelCallFinished(session_id=session_id, model_call_id="m", occurred_at=at))
    events.append(SessionEnded(session_id=session_id, status="error" if n % 10 == 0 else "completed", occurred_at=at))
    return events


PAGE = 10
QUESTIONS: dict[str, tuple[Callable[[Reader], Any], int]] = {
    # The second is the bound: for each session on a page its row and the index entries of what is in it.
    "list_sessions": (lambda reader: reader.list_sessions(limit=PAGE), PAGE * (IN_EACH + 5)),
    "list_sessions by agent": (lambda reader: reader.list_sessions(limit=PAGE, agent_type="a"), PAGE * (IN_EACH + 5)),
    "list_sessions by status": (lambda reader: reader.list_sessions(limit=PAGE, status="error"), PAGE * (IN_EACH + 5)),
    "list_sessions by seen": (lambda reader: reader.list_sessions(limit=PAGE, order="seen"), PAGE * (IN_EACH + 5)),
    "get_session": (lambda reader: reader.get_session("s00005"), 4 * IN_EACH),
    "children": (lambda reader: reader.children("s00000"), 12 * IN_EACH),
    "messages": (lambda reader: reader.messages("s00005", limit=PAGE), 3 * IN_EACH),
    "tool_calls": (lambda reader: reader.tool_calls(limit=PAGE), 3 * PAGE),
    "tool_calls of a session": (lambda reader: reader.tool_calls("s00005"), 3 * IN_EACH),
    "model_calls": (lambda reader: reader.model_calls("s00005"), 3 * IN_EACH),
    "search": (lambda reader: reader.search("word common", limit=PAGE), 500),
    "search in a session": (lambda reader: reader.search("rare", session_id="s00020", limit=PAGE), 500),
    "search by relevance": (lambda reader: reader.search("word common", order="relevance", limit=PAGE), 5000),
    "tail": (lambda reader: reader.tail(limit=PAGE), 4 * PAGE + 4 * IN_EACH),
}


@pytest.mark.slow
def test_no_question_reads_more_than_it_says_however_large_the_database_is(libsql_server: LibsqlServer) -> None:
    with open_database(parse_database_url(libsql_server.url)) as database:
        prepare_schema(database)
        read = dict.fromkeys(QUESTIONS, 0)
        written = 0
        for size in (SMALL, LARGE):
            for at in range(written, size, TOGETHER):
                events = [event for n in range(at, min(at + TOGETHER, size)) for event in session(n)]
                write_by(database, f"writer {at}", events)
            written = size
            assert index_all(database)
            for name, (ask, _) in QUESTIONS.items():
                noting = Noting(database)
                ask(Reader(noting))  # type: ignore[arg-type]  # as much of a database as a reader needs
                read[name] = max(read[name], rows_read(libsql_server, noting.asked))
    assert {name: most for name, most in read.items() if most > QUESTIONS[name][1]} == {}
