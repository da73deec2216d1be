"""Lists of sessions and of what is in them: filters combine, pages are found by key, sums count once, and SQL cannot write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest

from turso_hooks.errors import DatabaseError, QueryError
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
)
from turso_hooks.plugin import Recorder
from turso_hooks.query import Reader, connect, connect_sync

START = datetime(2026, 1, 2, tzinfo=timezone.utc)


def at(seconds: float) -> dict[str, Any]:
    return {"occurred_at": START + timedelta(seconds=seconds)}


def record(recorder: Recorder, *events: Event) -> None:
    for event in events:
        recorder.record(event)
    assert recorder.flush(30).is_complete


@pytest.fixture
def reader(database: Path, recorder: Recorder) -> Iterator[Reader]:
    """Over twenty sessions, of two agents, three models and two projects; each fifth has failed."""
    for n in range(20):
        started = SessionStarted(
            session_id=f"s{n:02}",
            agent_type="ab"[n % 2],
            model=f"model-{n % 3}",
            project=f"/home/{'ada' if n % 2 else 'bob'}/{n}",
            **at(n),
        )
        recorder.record(started)
        recorder.record(SessionEnded(session_id=f"s{n:02}", status="error" if n % 5 == 0 else "completed", **at(n + 0.5)))
    assert recorder.flush(30).is_complete
    with connect_sync(f"file:{database}") as opened:
        yield opened


def ids(reader: Reader, **filters: Any) -> list[int]:
    return [int(session.session_id[1:]) for session in reader.list_sessions(**filters)]


def test_filters_combine(reader: Reader) -> None:
    newest = list(reversed(range(20)))
    assert ids(reader) == newest
    assert ids(reader, agent_type="a", model="model-0") == [n for n in newest if n % 2 == 0 and n % 3 == 0]
    assert ids(reader, model="model-*", status="error") == [15, 10, 5, 0]
    assert ids(reader, project="/home/ada/*", status="completed", limit=3) == [19, 17, 13]
    assert ids(reader, project="/home/[a]da/*") == []  # only * stands for something else than itself
    between = {"since": START + timedelta(seconds=3), "until": START + timedelta(seconds=6)}
    assert ids(reader, **between) == [5, 4, 3]
    assert ids(reader, **between, agent_type="b") == [5, 3]
    assert ids(reader, model=None, status=None) == newest


def test_what_is_no_filter_no_status_and_no_page_is_said(reader: Reader) -> None:
    with pytest.raises(TypeError, match="no filter colour"):
        reader.list_sessions(colour="red")  # type: ignore[call-arg]  # on purpose
    for wrong in ({"status": "done"}, {"order": "size"}, {"limit": 0}, {"limit": 10**6}, {"cursor": "nonsense"}):
        with pytest.raises(QueryError):
            reader.list_sessions(**wrong)  # type: ignore[arg-type]  # on purpose
    for cursor in ("", "1", "[1]", '["a", 1, 2, 3]'):
        with pytest.raises(QueryError, match="is no cursor of this question"):
            reader.messages("s01", cursor=cursor)


@pytest.mark.parametrize("filters", [{}, {"agent_type": "a"}, {"model": "model-*"}, {"order": "seen"}], ids=str)
def test_pages_hold_everything_once_whatever_comes_meanwhile(
    reader: Reader, recorder: Recorder, filters: dict[str, Any]
) -> None:
    everything = ids(reader, **filters)
    found: list[str] = []
    page = reader.list_sessions(limit=3, **filters)
    while True:
        found += [session.session_id for session in page]
        if page.next_cursor is None:
            break
        record(recorder, SessionStarted(session_id=f"x{len(found)}", agent_type="a", model="model-0", **at(100 + len(found))))
        page = reader.list_sessions(limit=3, cursor=page.next_cursor, **filters)
    assert [int(each[1:]) for each in found] == everything


def test_sessions_of_one_moment_are_told_apart_by_their_id(database: Path, recorder: Recorder) -> None:
    record(recorder, *(SessionStarted(session_id=f"t{n}", **at(0)) for n in range(7)))
    with connect_sync(f"file:{database}") as reader:
        first = reader.list_sessions(limit=4)
        second = reader.list_sessions(limit=4, cursor=first.next_cursor)
    assert [each.session_id for each in (*first, *second)] == [f"t{n}" for n in reversed(range(7))]


def test_interrupted_sessions_are_told_from_running_ones_by_when_they_were_seen(database: Path, recorder: Recorder) -> None:
    now = datetime.now(timezone.utc)
    record(
        recorder,
        SessionStarted(session_id="silent", occurred_at=now - timedelta(hours=30)),
        SessionStarted(session_id="busy", occurred_at=now - timedelta(hours=30)),
        # A call that took a day is a sign of life when it ends.
        ToolCallFinished(
            session_id="busy", tool_call_id="c", duration_ms=29 * 3_600_000.0, occurred_at=now - timedelta(hours=1)
        ),
    )
    with connect_sync(f"file:{database}") as reader:
        assert [each.session_id for each in reader.list_sessions(status="running")] == ["busy"]
        assert [each.session_id for each in reader.list_sessions(status="interrupted")] == ["silent"]
        assert {each.session_id: each.status for each in reader.list_sessions()} == {"busy": "running", "silent": "interrupted"}


def test_messages_come_in_reading_order_page_by_page_even_of_one_moment(database: Path, recorder: Recorder) -> None:
    said = [
        MessageAdded(session_id="s", role="user", message_id=f"{n:02}", content=str(n), position=n % 4 or None, **at(n // 8))
        for n in range(30)
    ]
    record(recorder, *said, MessageAdded(session_id="other", role="user", content="x", **at(1)))
    with connect_sync(f"file:{database}") as reader:
        whole = [message.row_id for message in reader.get_session("s").messages]
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = reader.messages("s", limit=4, cursor=cursor)
            found += [message.row_id for message in page]
            cursor = page.next_cursor
            if cursor is None:
                break
            record(recorder, MessageAdded(session_id="s", role="user", content="earlier", **at(-len(found))))
    assert found == whole


def test_a_tree_of_sub_agents_counts_each_session_once(database: Path, recorder: Recorder) -> None:
    used = Usage(input=10, output=1)
    record(
        recorder,
        SessionStarted(session_id="root", parent_session_id="leaf"),  # of its own grandchild
        SessionStarted(session_id="one", parent_session_id="root"),
        SessionStarted(session_id="two", parent_session_id="root"),
        SessionStarted(session_id="leaf", parent_session_id="one"),
        *(ModelCallFinished(session_id=each, usage=used, cost_usd=0.5) for each in ("root", "one", "two", "leaf")),
        ToolCallFinished(session_id="leaf", tool_call_id="t", status="error"),
        MessageAdded(session_id="two", role="user", content="x"),
    )
    with connect_sync(f"file:{database}") as reader:
        tree = reader.children("root")
    assert sorted(child.session.session_id for child in tree.children) == ["one", "two"]
    assert (tree.total.sessions, tree.total.model_calls, tree.total.input_tokens, tree.total.cost_usd) == (4, 4, 40, 2.0)
    assert (tree.total.tool_calls, tree.total.tool_errors, tree.total.messages) == (1, 1, 1)
    assert (tree.own.sessions, tree.own.input_tokens) == (1, 10)


def test_tool_calls_are_listed_of_one_session_and_of_all(database: Path, recorder: Recorder) -> None:
    for n in range(6):
        recorder.record(
            ToolCallFinished(
                session_id=f"s{n % 2}",
                tool_call_id=f"c{n}",
                tool_name="ls" if n % 3 else "rm",
                error="no" if n == 3 else None,
                **at(n),
            )
        )
    assert recorder.flush(30).is_complete
    with connect_sync(f"file:{database}") as reader:

        def calls(*arguments: Any, **options: Any) -> list[str | None]:
            return [call.tool_call_id for call in reader.tool_calls(*arguments, **options)]

        assert calls() == ["c5", "c4", "c3", "c2", "c1", "c0"]
        assert calls(tool_name="rm") == ["c3", "c0"]
        assert calls(tool_status="error") == ["c3"]
        assert calls("s0") == ["c0", "c2", "c4"]
        assert calls("s1", tool_name="ls", limit=1) == ["c1"]
        assert calls(agent_type="nobody") == []


def test_a_tail_goes_on_with_what_is_new_and_says_when_a_call_is_over(database: Path, recorder: Recorder) -> None:
    record(
        recorder,
        SessionStarted(session_id="s", agent_type="a", **at(0)),
        *(MessageAdded(session_id="s", role="user", message_id=f"m{n}", content=str(n), **at(n)) for n in range(5)),
        ToolCallStarted(session_id="s", tool_call_id="c", tool_name="t", **at(6)),
    )
    with connect_sync(f"file:{database}") as reader:

        def names(entries: Any) -> list[str]:
            return [entry.row_id.rpartition(":")[2] for entry in entries]

        first = reader.tail(limit=3)
        assert names(first.entries) == ["m3", "m4", "c"]
        assert first.sessions["s"].agent_type == "a"
        nothing = reader.tail(cursor=first.cursor)
        assert nothing.entries == ()
        record(
            recorder,
            ToolCallFinished(session_id="s", tool_call_id="c", output="done", **at(7)),
            MessageAdded(session_id="s", role="user", message_id="late", content="x", **at(-5)),
            MessageAdded(session_id="other", role="user", message_id="m9", content="x", **at(8)),
        )
        more = reader.tail(cursor=nothing.cursor)
        assert names(more.entries) == ["late", "c", "m9"]
        assert reader.tail(cursor=more.cursor).entries == ()
        assert names(reader.tail("s", limit=2).entries) == ["m4", "c"]
        assert names(reader.tail(agent_type="a", limit=2, cursor=nothing.cursor).entries) == ["late", "c"]


def test_sql_reads_and_cannot_write(reader: Reader, tmp_path: Path) -> None:
    counted = reader.sql("SELECT count(*) AS n FROM sessions WHERE status = ?", ["error"])
    assert (counted.columns, counted.rows) == (("n",), [(4,)])
    for sql in (
        "DELETE FROM sessions",
        "CREATE TABLE t (x)",
        "PRAGMA query_only = 0",
        "DELETE FROM sessions",
        f"ATTACH 'file:{tmp_path}/other.db?mode=rwc' AS other",
        "CREATE TABLE other.t (x)",
        f"VACUUM INTO '{tmp_path}/other.db'",
    ):
        try:
            reader.sql(sql)
        except (DatabaseError, QueryError):
            continue
        assert sql.startswith("PRAGMA")
    assert reader.sql("SELECT count(*) FROM sessions").rows == [(20,)]
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_same_can_be_awaited(reader: Reader, database: Path, backend: str) -> None:
    async def ask() -> None:
        async with connect(f"file:{database}") as waited, anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waited.list_sessions)
            assert await waited.list_sessions(status="error") == reader.list_sessions(status="error")
            assert await waited.get_session("s01") == reader.get_session("s01")
            assert await waited.children("s01") == reader.children("s01")
            assert await waited.messages("s01") == reader.messages("s01")
            assert await waited.tool_calls("s01") == reader.tool_calls("s01")
            assert await waited.model_calls("s01") == reader.model_calls("s01")
            assert await waited.search("x") == reader.search("x")
            assert await waited.tail() == reader.tail()
            assert await waited.stats("model") == reader.stats("model")
            assert [event async for event in waited.events("s01")] == list(reader.events("s01"))
            assert await waited.sql("SELECT 1") == reader.sql("SELECT 1")

    anyio.run(ask, backend=backend)
