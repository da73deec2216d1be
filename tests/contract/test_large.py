"""What is more than a server gives at once is read all the same, a few rows at a time, and a row in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from contract.test_rows import url_of, write
from turso_hooks.drivers import Database, open_database, parse_database_url
from turso_hooks.events import Event, MessageAdded, SessionStarted, ToolCallFinished, ToolCallStarted
from turso_hooks.query import Reader
from turso_hooks.store import SearchIndex, prepare_schema

pytestmark = pytest.mark.slow

START = datetime(2026, 1, 2, tzinfo=timezone.utc)
MANY = ['say "yes"\n' * 150_000 + f"needle {n}" for n in range(12)]
ESCAPES = "\x1b" * 1_000_000
HUGE = 3 * ESCAPES + "\0é 日本"
"""3 MB, and six times that in an answer; libsql-server takes rows up to 5 MB, and gives 10 MB at once."""


def events() -> Iterator[Event]:
    yield SessionStarted(session_id="s", title="t" * 2_000_000, occurred_at=START)
    for n in range(12):
        kept = {"what": "x" * 1_000_000}
        before = START - timedelta(days=1)
        yield SessionStarted(session_id=f"child-{n}", parent_session_id="s", metadata=kept, occurred_at=before)
    for n, text in enumerate(MANY):
        at = START + timedelta(seconds=n)
        yield MessageAdded(session_id="s", role="user", content=text, occurred_at=at)
        yield ToolCallStarted(session_id="s", tool_call_id=f"c{n}", tool_name="read", occurred_at=at)
        yield ToolCallFinished(session_id="s", tool_call_id=f"c{n}", output=text, occurred_at=at)
    yield MessageAdded(
        session_id="s", role="assistant", message_id="huge", content="\0é 日本", occurred_at=START + timedelta(seconds=60)
    )


@pytest.fixture(params=["file", "libsql_server", "libsql_server WebSocket", "turso_server"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"file:{tmp_path}/agents.db" if request.param == "file" else url_of(request.param, request)
    with open_database(parse_database_url(url), allows_unencrypted=True) as opened:
        prepare_schema(opened)
        write(opened, [[event] for event in events()])
        for table, column in (("messages", "content"), ("tool_executions", "output")):  # as rows of other programs are
            pieces = f"SELECT text FROM payloads WHERE id = {column}_whole ORDER BY piece"
            whole = f"UPDATE {table} SET {column} = (SELECT group_concat(text, '') FROM ({pieces}))"
            opened.execute(f"{whole} WHERE {column}_whole IS NOT NULL", operation="write")
        longer = "UPDATE messages SET content = ? || content WHERE id = 's:message:huge'"
        for _ in range(3):
            opened.execute(longer, (ESCAPES,), operation="write")
        yield opened


def test_every_view_of_large_rows_has_all_of_them(database: Database) -> None:
    reader = Reader(database)
    said = [*MANY, HUGE]
    messages, cursor = [], None
    while (page := reader.messages("s", cursor=cursor)) and (messages := messages + [each.content for each in page]):
        if (cursor := page.next_cursor) is None:
            break
    assert messages == said
    whole = reader.get_session("s")
    assert [message.content for message in whole.messages] == said
    assert [call.output for call in whole.tool_calls] == MANY
    assert len(whole.children) == len(reader.children("s").children) == 12
    assert reader.list_sessions()[0].title == "t" * 2_000_000
    newest, cursor = [], None
    while (calls := reader.tool_calls(cursor=cursor)) and (newest := newest + [each.output for each in calls]):
        if (cursor := calls.next_cursor) is None:
            break
    assert newest == MANY[::-1]
    assert reader.tail("s", limit=100).entries[-1].content == HUGE


@pytest.mark.parametrize("is_indexed", [True, False], ids=["indexed", "waiting"])
def test_large_texts_are_found(database: Database, is_indexed: bool) -> None:
    index = SearchIndex(database)
    while is_indexed and index.is_waiting():
        index.add_some()
    reader = Reader(database)
    for order in ("newest", "relevance"):
        found = reader.search("yes say", order=order, limit=30, kind="message")
        assert len(found.hits) == len(MANY)
