"""In any order, with any repetition, from up to three sources: the same rows."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.errors import PositionMoved
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    ModelCallStarted,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    TextPart,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    decode,
    encode,
)
from turso_hooks.store import Batch, Gap, Numbering, Position, Standing, prepare_schema, row_of, write_batch

START = datetime(2026, 1, 2, tzinfo=timezone.utc)
NOW = START + timedelta(days=1)
TABLES = ("sessions", "messages", "tool_executions", "model_calls", "notes")


class Store:
    """A real database in memory's place: a file in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.database = EmbeddedDatabase(folder / "a.db")
        prepare_schema(self.database)
        self.standing = Standing(None, Numbering())

    def write(self, *events: Event) -> None:
        position = self.standing.position
        end = Standing(Position(1, (position.offset if position else 0) + 1), Numbering(1))
        read = [row_of(decode(encode(event))) for event in events]
        write_batch(self.database, Batch("w", self.standing, end, read, len(read)), NOW)
        self.standing = end

    def rows(self, table: str) -> list[dict[str, Any]]:
        result = self.database.execute(f"SELECT * FROM {table} ORDER BY id")
        return [{k: v for k, v in zip(result.columns, row, strict=True) if k != "sequence"} for row in result.rows]

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        return {table: [self.meaning(row) for row in self.rows(table)] for table in TABLES}

    @staticmethod
    def meaning(row: dict[str, Any]) -> dict[str, Any]:
        """`provenance` says the same as one key and as an object of equal keys: what counts is what it decides."""
        return {name: value for name, value in row.items() if name != "provenance"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.database.close()


moments = st.integers(0, 6).map(lambda n: START + timedelta(seconds=n))
maybe = st.none() | st.sampled_from(["a", "b", "c"])
sessions = st.sampled_from(["s1", "s2"])
ids = st.sampled_from(["i1", "i2"])
common = {
    "session_id": sessions,
    "occurred_at": moments,
    "source_rank": st.integers(1, 3),
    "position": st.none() | st.integers(0, 3),
}
calls = {**common, "tool_call_id": ids, "tool_name": maybe, "input": maybe, "message_id": st.none() | ids, "metadata": maybe}
one_event = st.one_of(
    st.builds(SessionStarted, **common, agent_type=maybe, model=maybe, title=maybe, metadata=maybe),
    st.builds(SessionEnded, **common, status=st.sampled_from([None, "completed", "cancelled"]), error_message=maybe),
    st.builds(MessageAdded, **common, role=st.sampled_from(["user", "tool"]), message_id=ids, content=maybe, tool_name=maybe),
    st.builds(MessageAdded, **common, role=st.just("user"), message_id=ids, content=st.just([TextPart(text="p")])),
    st.builds(ToolCallStarted, **calls),
    st.builds(ToolCallFinished, **calls, output=maybe, error=maybe, status=maybe, duration_ms=st.none() | st.integers(0, 3000)),
    st.builds(ModelCallStarted, **common, model_call_id=ids, model=maybe),
    st.builds(
        ModelCallFinished, **common, model_call_id=ids, usage=st.none() | st.builds(Usage, input=st.integers(0, 9)), error=maybe
    ),
    st.builds(NoteAdded, **common, name=st.sampled_from(["n", "m"]), payload=maybe),
)


@settings(max_examples=60)
@given(st.lists(one_event, max_size=14), st.data())
def test_any_order_and_any_repetition_gives_the_same_rows(events: list[Event], data: st.DataObject) -> None:
    with ExitStack() as stack:
        first, second = (Store(Path(stack.enter_context(tempfile.TemporaryDirectory()))) for _ in range(2))
        stack.enter_context(first.database)
        stack.enter_context(second.database)
        if events:
            first.write(*events)
        shuffled = data.draw(
            st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=5)) if events else [])
        )
        while shuffled:
            size = data.draw(st.integers(1, len(shuffled)))
            second.write(*shuffled[:size])
            shuffled = shuffled[size:]
        assert first.everything() == second.everything()


def test_known_beats_unknown_then_rank_then_time_then_id(store: Store) -> None:
    def message(rank: int, second: int, content: str | None, event_id: str = "0" * 32, **fields: Any) -> MessageAdded:
        at = START + timedelta(seconds=second)
        return MessageAdded(
            session_id="s",
            message_id="m",
            role="user",
            content=content,
            source_rank=rank,
            occurred_at=at,
            event_id=event_id,
            **fields,
        )

    store.write(message(1, 5, "hook", model="known"))
    store.write(message(3, 1, "transcript"))
    store.write(message(2, 9, "api"))
    store.write(message(3, 9, None))
    row = store.rows("messages")[0]
    assert (row["content"], row["model"], row["created_at"]) == ("transcript", "known", "2026-01-02T00:00:09.000000Z")
    store.write(message(3, 2, "later"), message(3, 2, "greater id", "1" * 32))
    assert store.rows("messages")[0]["content"] == "greater id"


def test_text_and_parts_of_a_message_go_together(store: Store) -> None:
    store.write(MessageAdded(session_id="s", message_id="m", role="user", content=[TextPart(text="parts")], source_rank=1))
    store.write(MessageAdded(session_id="s", message_id="m", role="user", content="plain", source_rank=3))
    row = store.rows("messages")[0]
    assert (row["content"], row["parts"]) == ("plain", None)


def test_a_terminal_status_beats_running_whatever_comes_last(store: Store) -> None:
    later = {"occurred_at": START + timedelta(hours=1), "source_rank": 3}
    store.write(ToolCallFinished(session_id="s", tool_call_id="c", occurred_at=START))
    store.write(ToolCallStarted(session_id="s", tool_call_id="c", **later))
    assert store.rows("tool_executions")[0]["status"] == "completed"


def test_a_session_has_the_status_of_its_latest_start_or_end(store: Store) -> None:
    def at(second: int) -> dict[str, Any]:
        return {"session_id": "s", "occurred_at": START + timedelta(seconds=second)}

    store.write(SessionStarted(**at(0)), SessionEnded(**at(1), error_message="boom", source_rank=3))
    assert (store.rows("sessions")[0]["status"], store.rows("sessions")[0]["error_message"]) == ("error", "boom")
    store.write(SessionStarted(**at(2)))
    assert (store.rows("sessions")[0]["status"], store.rows("sessions")[0]["error_message"]) == ("running", None)
    store.write(SessionEnded(**at(3)))
    row = store.rows("sessions")[0]
    assert (row["status"], row["started_at"], row["ended_at"]) == (
        "completed",
        "2026-01-02T00:00:00.000000Z",
        "2026-01-02T00:00:03.000000Z",
    )


def test_times_are_merged_right_beside_those_of_the_original_logger(store: Store) -> None:
    store.database.execute(
        "INSERT INTO sessions (id, agent_type, model, started_at, ended_at) "
        "VALUES ('s', 'a', 'm', '2026-01-02 03:00:00', '2026-01-02 04:00:00')"
    )
    store.write(SessionStarted(session_id="s", occurred_at=START + timedelta(hours=1)))
    store.write(SessionEnded(session_id="s", occurred_at=START + timedelta(hours=2)))
    row = store.rows("sessions")[0]
    assert (row["started_at"], row["ended_at"]) == ("2026-01-02T01:00:00.000000Z", "2026-01-02 04:00:00")


def test_a_row_before_its_session_makes_one_that_is_filled_in_later(store: Store) -> None:
    store.write(MessageAdded(session_id="s", role="user", occurred_at=START))
    placeholder = store.rows("sessions")[0]
    assert (placeholder["agent_type"], placeholder["model"], placeholder["status"]) == ("unknown", "unknown", "running")
    store.write(SessionStarted(session_id="s", agent_type="a", occurred_at=START + timedelta(seconds=1)))
    row = store.rows("sessions")[0]
    assert (row["agent_type"], row["model"], row["started_at"]) == ("a", "unknown", "2026-01-02T00:00:01.000000Z")


def test_a_tool_call_finds_its_message_whichever_comes_first(store: Store) -> None:
    store.database.execute("PRAGMA foreign_keys = ON")
    store.write(ToolCallStarted(session_id="s", tool_call_id="c", message_id="m"))
    assert store.rows("tool_executions")[0]["message_id"] is None
    store.write(MessageAdded(session_id="s", message_id="m", role="assistant"))
    store.write(ToolCallStarted(session_id="s", tool_call_id="d", message_id="m"))
    assert {row["message_id"] for row in store.rows("tool_executions")} == {"s:message:m"}


def test_a_batch_that_does_not_begin_where_the_writer_stands_changes_nothing(store: Store) -> None:
    store.write(NoteAdded(session_id="s", name="first"))
    before = store.everything()
    begin, end = Standing(None, Numbering()), Standing(Position(1, 9), Numbering(1, [Gap(0, 0)]))
    late = Batch("w", begin, end, [row_of(NoteAdded(session_id="s", name="late"))], 1, counts=Counter(dropped=1))
    with pytest.raises(PositionMoved):
        write_batch(store.database, late, NOW)
    assert store.everything() == before
    assert store.database.execute("SELECT writer_id FROM journal_counts UNION SELECT writer_id FROM journal_gaps").rows == []


def test_messages_are_numbered_as_they_arrive(store: Store) -> None:
    for n in range(3):
        store.write(MessageAdded(session_id="s", message_id=str(n), role="user"), MessageAdded(session_id="t", role="user"))
    found = store.database.execute("SELECT id, sequence FROM messages WHERE session_id = 's' ORDER BY sequence").rows
    assert found == [("s:message:0", 1), ("s:message:1", 2), ("s:message:2", 3)]
