"""What was logged comes out as events that make the same again: nothing is missing, whoever wrote it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from query.test_stats import as_the_original, by_hand, random_event, run, write
from turso_hooks.drivers import Database, EmbeddedDatabase
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallStarted,
    decode,
    decode_json,
    encode_marked,
)
from turso_hooks.query import Reader
from turso_hooks.store import prepare_schema

AT = datetime(2026, 4, 5, 6, 7, 8, 123456, tzinfo=timezone.utc)
TABLES = ("sessions", "messages", "tool_executions", "model_calls", "notes")
DERIVED = {"provenance", "status_key", "sequence", "search_key", "start_known", "seen_ms", "message_id"}
"""Columns that say who told what in which order."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(tmp_path / "first.db") as database:
        prepare_schema(database)
        yield database


def lines(database: Database) -> list[bytes]:
    sessions = [session_id for (session_id,) in database.execute("SELECT id FROM sessions ORDER BY id").rows]
    return [msgspec.json.encode(event) for session_id in sessions for event in Reader(database).events(session_id)]


def said_again(path: Path, said: list[bytes]) -> EmbeddedDatabase:
    database = EmbeddedDatabase(path)
    prepare_schema(database)
    events = [decode_json(line) for line in said]
    random.Random(1).shuffle(events)
    for n in range(0, len(events), 50):
        write(database, *events[n : n + 50])
    return database


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    found = database.execute(f"SELECT * FROM {table} ORDER BY id")
    return [{name: value for name, value in zip(found.columns, row, strict=True) if name not in DERIVED} for row in found.rows]


@pytest.mark.parametrize("seed", range(3))
def test_what_comes_out_makes_what_the_same_comes_out_of(database: EmbeddedDatabase, tmp_path: Path, seed: int) -> None:
    pick = random.Random(seed)
    for _ in range(40):
        what = pick.randrange(10)
        if what < 6:
            write(database, *(random_event(pick) for _ in range(pick.choice([1, 30]))))
        elif what < 9:
            as_the_original(pick, database)
        else:
            by_hand(pick, database)
    first = lines(database)
    assert len(first) > 100
    with said_again(tmp_path / "second.db", first) as second:
        assert lines(second) == first
        with said_again(tmp_path / "third.db", lines(second)) as third:
            for table in TABLES:
                assert rows(third, table) == rows(second, table)


def everything() -> list[Event]:
    common: dict[str, Any] = {"session_id": "s", "occurred_at": AT, "source_rank": 2}
    later: dict[str, Any] = {**common, "occurred_at": AT + timedelta(seconds=90)}
    return [
        SessionStarted(
            **common, agent_type="a", model="m", title="T", project="p", user_id="u", runner="r", metadata={"k": [1]}
        ),
        MessageAdded(**common, role="system", content="é\0 日本\u2028 \" \\ '"),
        MessageAdded(**common, role="user", content=[TextPart(text="Look"), {"type": "image", "data": "y" * 100_000}]),
        MessageAdded(**common, role="assistant", content="z" * 1_200_000, message_id="long", metadata="plain", position=0),
        MessageAdded(**common, role="tool", content={"answer": [1.5, None, True]}, tool_call_id="c", tool_name="look"),
        MessageAdded(**common, role="tool", content="y" * 100_000, tool_call_id="d"),
        MessageAdded(**common, role="assistant", content=None, token_count=7, model="other"),
        MessageAdded(**common, role="assistant", content="", message_id="x~1"),
        ToolCallStarted(**common, tool_call_id="open", tool_name="look", input={"q": "w" * 100_000}, message_id="long"),
        ToolCallFinished(**later, tool_call_id="c", tool_name="look", output=[1], duration_ms=17.4, message_id="never seen"),
        ToolCallFinished(**later, tool_call_id="e", status="cancelled", error="no", started_at=AT, row_id="own"),
        ToolCallFinished(**later, output=float("nan"), input=b"\x00\xff"),
        ModelCallFinished(**later, model_call_id="m", model="m", cost_usd=1 / 3, duration_ms=1234, finish_reason="stop"),
        ModelCallFinished(**later, error="overloaded"),
        NoteAdded(**common, name="retry", payload={"n": 2}),
        NoteAdded(**common, name="large", payload="n" * 100_000),
        SessionEnded(**later, status="error", error_message="it broke"),
        SessionStarted(**{**later, "occurred_at": AT + timedelta(hours=1)}),
        MessageAdded(session_id="unannounced", role="user", content="Hi", occurred_at=AT),
        SessionEnded(session_id="only ended", occurred_at=AT),
        SessionStarted(session_id="only begun", occurred_at=AT, parent_session_id="s", parent_tool_call_id="c"),
    ]


def test_of_everything_that_can_be_said_nothing_is_lost(database: EmbeddedDatabase, tmp_path: Path) -> None:
    write(database, *(decode(encode_marked(event)) for event in everything()))
    first = lines(database)
    with said_again(tmp_path / "second.db", first) as second:
        for table in TABLES:
            for again, once in zip(rows(second, table), rows(database, table), strict=True):
                assert {name: value for name, value in again.items() if value != once[name]} == {}
        assert lines(second) == first
        payloads = "SELECT id, piece, text FROM payloads ORDER BY id, piece"
        assert second.execute(payloads).rows == database.execute(payloads).rows
        seen = "SELECT id, seen_ms, status FROM sessions ORDER BY id"
        assert second.execute(seen).rows == database.execute(seen).rows
        write(second, *(decode_json(line) for line in first))  # once more
        assert lines(second) == first


def test_what_only_the_original_logger_writes_comes_along(database: EmbeddedDatabase, tmp_path: Path) -> None:
    sql = "INSERT INTO sessions (id, agent_type, model, started_at) VALUES ('o', 'opencode', 'm', '2026-04-05 06:07:08')"
    run(database, sql)
    run(
        database,
        """INSERT INTO messages (id, session_id, sequence, role, content, tool_name, tool_input, tool_output, created_at)
        VALUES ('m1', 'o', 1, 'assistant', 'x', 'bash', '{"cmd": "ls"}', '"a.txt"', '2026-04-05 06:07:09')""",
    )
    run(
        database,
        """INSERT INTO tool_executions (id, session_id, message_id, tool_name, status, input, started_at, duration_ms)
        VALUES ('t1', 'o', 'm1', 'bash', 'completed', '{"cmd": "ls"}', '2026-04-05 06:07:09', 12)""",
    )
    first = lines(database)
    with said_again(tmp_path / "second.db", first) as second:
        assert lines(second) == first
        conversation = Reader(second).get_session("o")
        assert conversation.messages[0].metadata == {"tool_input": {"cmd": "ls"}, "tool_output": "a.txt"}
        assert conversation.tool_calls[0].metadata == {"message_row_id": "m1"}
        assert (conversation.tool_calls[0].row_id, conversation.tool_calls[0].duration_ms) == ("t1", 12)
