from __future__ import annotations

import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.errors import DatabaseUnusable, SchemaTooNew
from turso_hooks.events import MessageAdded, SessionStarted
from turso_hooks.plugin import Recorder
from turso_hooks.query import connect_sync
from turso_hooks.store import prepare_schema, schema_version
from turso_hooks.store.migrations import LATEST

VERSION_1 = {
    "schema_version": ["version INTEGER 0 1", "applied_at TEXT 1 0"],
    "sessions": [
        "id TEXT 0 1",
        "agent_type TEXT 1 0",
        "model TEXT 1 0",
        "provider TEXT 0 0",
        "started_at TEXT 1 0",
        "ended_at TEXT 0 0",
        "status TEXT 1 0",
        "error_message TEXT 0 0",
        "metadata TEXT 0 0",
    ],
    "messages": [
        "id TEXT 0 1",
        "session_id TEXT 1 0",
        "sequence INTEGER 1 0",
        "role TEXT 1 0",
        "content TEXT 0 0",
        "tool_name TEXT 0 0",
        "tool_input TEXT 0 0",
        "tool_output TEXT 0 0",
        "created_at TEXT 1 0",
        "token_count INTEGER 0 0",
    ],
    "tool_executions": [
        "id TEXT 0 1",
        "session_id TEXT 1 0",
        "message_id TEXT 0 0",
        "tool_name TEXT 1 0",
        "status TEXT 1 0",
        "input TEXT 0 0",
        "output TEXT 0 0",
        "error TEXT 0 0",
        "started_at TEXT 1 0",
        "ended_at TEXT 0 0",
        "duration_ms INTEGER 0 0",
    ],
}
INDEXES = {
    "idx_messages_session",
    "idx_messages_created",
    "idx_tool_executions_session",
    "idx_tool_executions_started",
    "idx_sessions_agent_type",
    "idx_sessions_status",
    "idx_sessions_started",
}

REPLACED = {"idx_messages_session", "idx_tool_executions_session"}
"""By indexes that begin with the same column."""

Rows = Callable[..., list[tuple[object, ...]]]
Child = Callable[..., "subprocess.Popen[str]"]


def contents_of_version_1(rows: Rows) -> dict[str, list[tuple[object, ...]]]:
    """What the original knows of its tables: the rows of its own columns."""
    columns = {table: ", ".join(column.split()[0] for column in columns) for table, columns in VERSION_1.items()}
    return {table: rows(f"SELECT {columns[table]} FROM {table} ORDER BY id") for table in columns if table != "schema_version"}


@pytest.fixture
def original(database: Path, shared_data: Path) -> Path:
    """A database as the original logger leaves it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript((shared_data / "original-logger-v1.sql").read_text(encoding="utf-8"))
    return database


def test_version_1_is_the_originals_to_the_letter(database: Path, rows: Rows) -> None:
    with EmbeddedDatabase(database) as opened:
        prepare_schema(opened)
    for table, columns in VERSION_1.items():
        found = rows(f"SELECT name || ' ' || type || ' ' || \"notnull\" || ' ' || pk FROM pragma_table_info('{table}')")
        assert [row[0] for row in found][: len(columns)] == columns
    assert {row[0] for row in rows("SELECT name FROM sqlite_master WHERE type = 'index'")} >= INDEXES - REPLACED
    keys = rows('SELECT "from", "table", "to" FROM pragma_foreign_key_list(\'tool_executions\') ORDER BY 1')
    assert keys == [("message_id", "messages", "id"), ("session_id", "sessions", "id")]


def test_migrating_again_changes_nothing(database: Path, rows: Rows) -> None:
    opened = EmbeddedDatabase(database)
    assert prepare_schema(opened) == list(range(1, LATEST + 1))
    before = rows("SELECT * FROM sqlite_master"), rows("SELECT * FROM schema_version")
    assert prepare_schema(opened) == []
    assert schema_version(opened) == LATEST
    opened.close()
    assert (rows("SELECT * FROM sqlite_master"), rows("SELECT * FROM schema_version")) == before


def test_a_newer_database_is_refused_and_not_touched(database: Path, rows: Rows) -> None:
    opened = EmbeddedDatabase(database)
    prepare_schema(opened)
    opened.execute(f"INSERT INTO schema_version VALUES ({LATEST + 1}, 'tomorrow')")
    before = rows("SELECT * FROM sqlite_master")
    with pytest.raises(SchemaTooNew, match="upgrade it"):
        prepare_schema(opened)
    opened.close()
    assert rows("SELECT * FROM sqlite_master") == before


def test_events_for_a_newer_database_wait_and_are_shipped_once_it_is_understood(
    recorder: Recorder, database: Path, rows: Rows
) -> None:
    with EmbeddedDatabase(database) as opened:
        prepare_schema(opened)
        opened.execute(f"INSERT INTO schema_version VALUES ({LATEST + 1}, 'tomorrow')")
    before = rows("SELECT * FROM sqlite_master")
    recorder.record(MessageAdded(session_id="s", role="user", content="x"))
    result = recorder.flush(0.5)
    assert (result.is_complete, result.waiting, result.counts) == (False, 1, {})
    assert "upgrade it" in str(result.problem)
    assert (rows("SELECT * FROM sqlite_master"), rows("SELECT count(*) FROM messages")) == (before, [(0,)])
    with closing(sqlite3.connect(database)) as newer:
        newer.execute(f"DELETE FROM schema_version WHERE version = {LATEST + 1}")
        newer.commit()
    assert recorder.close(30).is_complete
    assert rows("SELECT content FROM messages") == [("x",)]


def test_a_process_that_is_at_work_writes_nothing_more_once_a_newer_one_has_changed_the_schema(
    recorder: Recorder, database: Path, rows: Rows
) -> None:
    recorder.record(MessageAdded(session_id="s", role="user", content="before"))
    assert recorder.flush(30).is_complete
    with closing(sqlite3.connect(database)) as newer:
        newer.execute(f"INSERT INTO schema_version VALUES ({LATEST + 1}, 'tomorrow')")
        newer.commit()
    recorder.record(MessageAdded(session_id="s", role="user", content="after"))
    result = recorder.flush(0.5)
    assert not result.is_complete
    assert "upgrade it" in str(result.problem)
    assert rows("SELECT content FROM messages") == [("before",)]
    with closing(sqlite3.connect(database)) as newer:
        newer.execute(f"DELETE FROM schema_version WHERE version = {LATEST + 1}")
        newer.commit()
    assert recorder.close(30).is_complete
    assert rows("SELECT content FROM messages ORDER BY sequence") == [("before",), ("after",)]


# Waits until all are there, brings the database up to date, and logs and ships an event.
STARTING = """
    import os, sys, turso_hooks
    from pathlib import Path
    from turso_hooks.drivers import EmbeddedDatabase
    from turso_hooks.store import prepare_schema
    hook = turso_hooks.get_plugin_manager().hook
    database = EmbeddedDatabase(Path(os.environ["TURSO_DATABASE_URL"][5:]), busy_timeout_s=30)
    print("here", flush=True)
    sys.stdin.readline()
    print(*prepare_schema(database))
    hook.message_added(event=turso_hooks.MessageAdded(session_id="all", role="user", content=sys.argv[1]))
    print(turso_hooks.close(60).is_complete)
    """


def start_at_once(child: Child, processes: int) -> Counter[str]:
    """Let as many processes begin at one moment; which versions they applied, all together."""
    children = [child(STARTING, str(n)) for n in range(processes)]
    for one in children:
        assert one.stdout is not None
        assert one.stdout.readline() == "here\n"
    for one in children:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    applied: Counter[str] = Counter()
    for one in children:
        out, err = one.communicate(timeout=90)
        assert (one.returncode, err) == (0, "")
        versions, is_complete = out.splitlines()
        assert is_complete == "True"
        applied.update(versions.split())
    return applied


def check_whole(rows: Rows, processes: int) -> None:
    assert rows("PRAGMA integrity_check") == [("ok",)]
    assert rows("PRAGMA foreign_key_check") == []
    assert rows("SELECT version FROM schema_version") == [(n,) for n in range(1, LATEST + 1)]
    contents = rows("SELECT content FROM messages WHERE session_id = 'all'")
    assert sorted(contents) == sorted((str(n),) for n in range(processes))


def test_twenty_processes_that_open_a_new_database_at_once_migrate_it_once(child: Child, rows: Rows) -> None:
    applied = start_at_once(child, 20)
    # Version 1 may be applied twice without a change: the original does not record it before it is done.
    assert {version: applied[str(version)] for version in range(2, LATEST + 1)} == dict.fromkeys(range(2, LATEST + 1), 1)
    check_whole(rows, 20)


@pytest.mark.slow
def test_twenty_processes_and_the_original_itself_open_its_database_at_once(child: Child, rows: Rows, original: Path) -> None:
    before = contents_of_version_1(rows)
    is_over = threading.Event()
    written: list[str] = []

    def original_goes_on() -> None:
        with closing(sqlite3.connect(original, timeout=60, isolation_level=None)) as theirs:
            while not is_over.is_set():
                session_id = f"theirs-{len(written)}"
                theirs.execute("INSERT INTO sessions (id, agent_type, model) VALUES (?, 'linear', 'gpt')", (session_id,))
                theirs.execute(
                    "INSERT INTO messages (id, session_id, sequence, role, content) VALUES (?, ?, 1, 'user', 'hello')",
                    (f"{session_id}-1", session_id),
                )
                written.append(session_id)
                is_over.wait(0.002)

    writer = threading.Thread(target=original_goes_on)
    writer.start()
    try:
        applied = start_at_once(child, 20)
    finally:
        is_over.set()
        writer.join()
    assert applied == {str(version): 1 for version in range(2, LATEST + 1)}
    check_whole(rows, 20)
    assert len(written) > 20
    assert [row[0] for row in rows("SELECT id FROM sessions WHERE id LIKE 'theirs-%'")] != []
    assert {row[0] for row in rows("SELECT id FROM sessions WHERE id LIKE 'theirs-%'")} == set(written)
    assert rows("SELECT count(*) FROM sessions WHERE occurred_ms IS NULL") == [(0,)]
    after = contents_of_version_1(rows)
    assert {table: [row for row in after[table] if row in found] for table, found in before.items()} == before


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE schema_version (version TEXT); INSERT INTO schema_version VALUES ('2026.1')", "'2026.1'"),
        ("CREATE TABLE schema_version (version INTEGER); INSERT INTO schema_version VALUES (2)", "no such table: sessions"),
        ("CREATE TABLE schema_version (version INTEGER); INSERT INTO schema_version VALUES (99)", "no such table: sessions"),
        ("CREATE TABLE schema_version (major INTEGER)", "no such column: version"),
        ("CREATE TABLE schema_version (version INTEGER); INSERT INTO schema_version VALUES (-1)", "says -1"),
        ("CREATE TABLE messages (id TEXT, body TEXT)", "no such column"),
        ("CREATE TABLE sessions (id TEXT PRIMARY KEY, data TEXT)", "no such column"),
    ],
)
def test_another_programs_database_is_refused_and_stays_as_it_is_to_the_byte(sql: str, said: str, database: Path) -> None:
    with closing(sqlite3.connect(database)) as theirs:
        theirs.executescript(sql)
    before = database.read_bytes()
    with EmbeddedDatabase(database) as opened, pytest.raises(DatabaseUnusable) as caught:
        prepare_schema(opened)
    assert "another program's tables are in it" in str(caught.value)
    assert said in str(caught.value)
    assert str(caught.value).endswith("name another database")
    if "schema_version" in sql:  # the others are seen for what they are only by trying, which changes the journal mode
        assert database.read_bytes() == before
    with closing(sqlite3.connect(database)) as theirs:
        assert theirs.execute("SELECT count(*) FROM sqlite_master WHERE sql IS NOT NULL").fetchone() == (1,)


def test_a_newer_database_stays_as_it_is_to_the_byte(database: Path, original: Path) -> None:
    with closing(sqlite3.connect(database)) as newer:
        newer.execute(f"INSERT INTO schema_version (version) VALUES ({LATEST + 1})")
        newer.commit()
    before = database.read_bytes()
    with EmbeddedDatabase(database) as opened, pytest.raises(SchemaTooNew):
        prepare_schema(opened)
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.glob("agents.db*")] == ["agents.db"]


def test_no_row_of_the_original_is_lost_or_changed(original: Path, rows: Rows) -> None:
    before = contents_of_version_1(rows)
    opened = EmbeddedDatabase(original)
    assert prepare_schema(opened) == list(range(2, LATEST + 1))
    opened.close()
    assert contents_of_version_1(rows) == before


def test_the_originals_times_of_both_forms_sort_with_ours(original: Path, rows: Rows) -> None:
    with EmbeddedDatabase(original) as opened:
        prepare_schema(opened)
    assert rows("SELECT DISTINCT occurred_ms FROM tool_executions ORDER BY 1") == [(1766399465120,), (1766399520000,)]
    assert rows("SELECT occurred_ms FROM sessions ORDER BY 1") == [(1766399400000,), (1766401330000,), (1766477700000,)]


def test_the_original_goes_on_writing_beside_us(original: Path, rows: Rows, recorder: Recorder) -> None:
    at = datetime.fromisoformat
    recorder.record(SessionStarted(session_id="ours", occurred_at=at("2025-12-23T09:00:00+00:00"), model="m"))
    recorder.record(MessageAdded(session_id="ours", role="user", content="x", occurred_at=at("2025-12-23T09:00:00.500+00:00")))
    assert recorder.flush(30).is_complete
    with closing(sqlite3.connect(original)) as theirs:
        theirs.execute(
            "INSERT INTO sessions (id, agent_type, model, started_at) VALUES ('theirs', 'linear', 'gpt', '2025-12-23 10:00:00')"
        )
        theirs.execute(
            "INSERT INTO messages (id, session_id, sequence, role, content, created_at) "
            "VALUES ('t1', 'theirs', 1, 'user', 'hello', '2025-12-23 10:00:01')"
        )
        theirs.execute(
            "INSERT INTO tool_executions (id, session_id, tool_name, status, input, started_at) "
            "VALUES ('e1', 'theirs', 'bash', 'running', '{}', '2025-12-23T10:00:02.250Z')"
        )
        theirs.execute("UPDATE tool_executions SET status = 'completed', ended_at = '2025-12-23T10:00:03.000Z' WHERE id = 'e1'")
        theirs.execute("UPDATE sessions SET status = 'completed', ended_at = datetime('now') WHERE id = 'theirs'")
        theirs.commit()
    newest = [row[0] for row in rows("SELECT id FROM sessions ORDER BY occurred_ms DESC")]
    assert newest[:2] == ["theirs", "ours"]
    assert rows("SELECT id FROM messages WHERE occurred_ms >= 1766480400000 ORDER BY occurred_ms")[1] == ("t1",)
    assert rows("SELECT occurred_ms FROM tool_executions WHERE id = 'e1'") == [(1766484002250,)]
    assert rows("SELECT count(*) FROM messages") == [(5,)]
    with connect_sync(f"file:{original}") as reader:
        listed = reader.list_sessions()
        assert [session.session_id for session in listed[:2]] == ["theirs", "ours"]
        found = reader.get_session("theirs")
        assert [message.content for message in found.messages] == ["hello"]
        assert found.tool_calls[0].status == "completed"
        assert {session.status for session in listed if session.session_id.startswith("b81d")} == {"interrupted"}
