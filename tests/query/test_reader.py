from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.errors import DatabaseUnusable, SessionNotFound, SettingsError
from turso_hooks.events import MessageAdded, SessionStarted, TextPart, ToolCallFinished, utc_now
from turso_hooks.plugin import Recorder
from turso_hooks.query import Reader, connect_sync


@pytest.fixture
def reader(database: Path, recorder: Recorder) -> Reader:
    recorder.record(SessionStarted(session_id="made", agent_type="first"))
    assert recorder.flush(30).is_complete
    return connect_sync(f"file:{database}")


def test_a_conversation_is_read_in_the_order_of_time_then_position_then_id(reader: Reader, recorder: Recorder) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=timezone.utc)
    for microsecond, position, name in ((3, None, "c"), (1, 2, "b"), (1, 1, "a"), (3, None, "d")):
        when = at.replace(microsecond=microsecond)
        recorder.record(
            MessageAdded(session_id="s", role="user", content=name, message_id=name, position=position, occurred_at=when)
        )
    recorder.flush(30)
    assert [message.content for message in reader.get_session("s").messages] == ["a", "b", "c", "d"]
    assert reader.get_session("s").messages[0].occurred_at == at
    reader.close()


def test_json_comes_back_as_values_and_parts_as_they_were(reader: Reader, recorder: Recorder) -> None:
    recorder.record(MessageAdded(session_id="s", role="user", content=[TextPart(text="t")], metadata={"a": [1]}))
    recorder.record(ToolCallFinished(session_id="s", tool_name="t", input={"x": None}, output="text"))
    recorder.flush(30)
    found = reader.get_session("s")
    assert (found.messages[0].parts, found.messages[0].metadata) == ([{"type": "text", "text": "t"}], {"a": [1]})
    assert (found.tool_calls[0].input, found.tool_calls[0].output) == ({"x": None}, "text")
    reader.close()


def test_sub_agents_are_inside_even_if_one_claims_to_be_its_own_ancestor(reader: Reader, recorder: Recorder) -> None:
    recorder.record(SessionStarted(session_id="a", parent_session_id="b"))
    recorder.record(SessionStarted(session_id="b", parent_session_id="a"))
    recorder.flush(30)
    found = reader.get_session("a")
    assert [child.session.session_id for child in found.children] == ["b"]
    assert found.children[0].children == []
    reader.close()


def test_the_beginning_of_a_sessions_id_means_the_session_even_if_those_of_its_sub_agents_begin_so(
    reader: Reader, recorder: Recorder
) -> None:
    recorder.record(SessionStarted(session_id="abc1"))
    for n in range(8):
        recorder.record(SessionStarted(session_id=f"abc1/agent-{n}", parent_session_id="abc1"))
    recorder.flush(30)
    for beginning in ("a", "abc1"):
        assert reader.get_session(beginning).session.session_id == "abc1"
    assert reader.get_session("abc1/agent-7").session.session_id == "abc1/agent-7"
    with pytest.raises(SessionNotFound, match="several sessions"):
        reader.get_session("abc1/")
    recorder.record(SessionStarted(session_id="self1", parent_session_id="self1"))
    recorder.record(SessionStarted(session_id="orphan/agent-0", parent_session_id="orphan"))
    recorder.record(SessionStarted(session_id="abc2"))
    recorder.flush(30)
    assert reader.get_session("self").session.session_id == "self1"
    assert reader.get_session("orphan").session.session_id == "orphan/agent-0"
    with pytest.raises(SessionNotFound, match="several sessions' ids begin with 'abc': abc1, abc2;"):
        reader.get_session("abc")
    reader.close()


def test_the_beginning_of_an_id_is_enough_if_it_fits_one(reader: Reader, recorder: Recorder) -> None:
    for session_id in ("abc1", "abc2", "abc"):
        recorder.record(SessionStarted(session_id=session_id))
    recorder.flush(30)
    assert reader.get_session("mad").session.session_id == "made"
    assert reader.get_session("abc").session.session_id == "abc"
    with pytest.raises(SessionNotFound, match=r"several.*abc, abc1, abc2; write more"):
        reader.get_session("ab")
    with pytest.raises(SessionNotFound, match=r"no session.*turso-hooks sessions"):
        reader.get_session("%")
    reader.close()


def test_a_session_without_end_that_was_silent_for_a_day_reads_as_interrupted(database: Path, reader: Reader) -> None:
    assert reader.get_session("made").session.status == "running"
    later = Reader(EmbeddedDatabase(database, read_only=True), now=lambda: utc_now() + timedelta(hours=25))
    assert later.list_sessions()[0].status == "interrupted"
    reader.close()
    later.close()


def test_what_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set TURSO_DATABASE_URL"):
        connect_sync()
    with pytest.raises(DatabaseUnusable, match="the file is there"):
        connect_sync(f"file:{tmp_path}/none.db").list_sessions()
    with EmbeddedDatabase(tmp_path / "empty.db") as empty:
        empty.execute("CREATE TABLE t (x)")
    with connect_sync(f"file:{tmp_path}/empty.db") as reader, pytest.raises(DatabaseUnusable, match="run: turso-hooks migrate"):
        reader.list_sessions()
