"""What is to go goes with all that belongs to it, a little at a time, and nothing else does."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from query.test_stats import run, write
from turso_hooks.drivers import Database, EmbeddedDatabase, Rows, Statement, open_database, parse_database_url
from turso_hooks.errors import DatabaseUnavailable
from turso_hooks.events import (
    Event,
    MessageAdded,
    ModelCallFinished,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    ToolCallFinished,
)
from turso_hooks.query import Reader
from turso_hooks.store import Prunable, Pruner, Removed, Rollups, SearchIndex, differences, newest_kept, prepare_schema
from turso_hooks.store.rows.payloads import LARGE_CHARS

DAY_0 = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
TABLES = ("sessions", "messages", "tool_executions", "model_calls", "notes")
PRUNED_MIDWAY = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from turso_hooks.drivers import EmbeddedDatabase
    from turso_hooks.store import Prunable, Pruner

    pruner = Pruner(EmbeddedDatabase(Path(sys.argv[1])), Prunable())
    for n in range(5):
        pruner.pace.at_once = 3
        pruner.remove_some()
    print("midway", flush=True)
    sys.stdin.read()
    """
)


@pytest.fixture(params=["file", "libsql_server", "turso_server"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"file:{tmp_path}/pruned.db" if request.param == "file" else request.getfixturevalue(request.param).url
    with open_database(parse_database_url(url)) as database:
        prepare_schema(database)
        yield database


@pytest.fixture
def file(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(tmp_path / "pruned.db") as database:
        prepare_schema(database)
        yield database


def conversation(session_id: str, day: int, *, messages: int = 3, **known: Any) -> list[Event]:
    common: dict[str, Any] = {"session_id": session_id, "occurred_at": DAY_0 + timedelta(days=day)}
    return [
        SessionStarted(**common, agent_type="a", model="m", **known),
        *(MessageAdded(**common, message_id=f"{n}", role="user", content=f"word{session_id}") for n in range(messages)),
        ToolCallFinished(**common, tool_call_id="t", tool_name="look", message_id="0", duration_ms=5),
        ModelCallFinished(**common, model_call_id="m"),
        NoteAdded(**common, name="retry"),
        SessionEnded(**common),
    ]


def ids(database: Database) -> list[str]:
    return [session_id for (session_id,) in database.execute("SELECT id FROM sessions ORDER BY id").rows]


def seen_before(day: int, sql: str = "true", *arguments: Any) -> Prunable:
    return Prunable(sql, arguments, int((DAY_0 + timedelta(days=day)).timestamp() * 1000))


def remove_all(pruner: Pruner) -> Removed:
    while pruner.remove_some():
        pass
    return pruner.removed


def test_what_was_seen_last_long_ago_goes_with_all_that_is_in_it(database: Database) -> None:
    for n in range(6):
        write(database, *conversation(f"s{n}", n))
    rollups, index = Rollups(database), SearchIndex(database)
    rollups.do_some()
    has_index = index.prepare()
    index.add_some()
    pruner = Pruner(database, seen_before(4, "sessions.id <> ?", "s1"))
    assert pruner.count() == Removed(3, 9, 3, 3, 3)
    assert remove_all(pruner) == Removed(3, 9, 3, 3, 3)
    assert ids(database) == ["s1", "s4", "s5"]
    for table in TABLES[1:]:
        assert database.execute(f"SELECT DISTINCT session_id FROM {table} ORDER BY 1").rows == [("s1",), ("s4",), ("s5",)]
    assert list(differences(database)) == []
    rollups.do_rest()
    while has_index and index.is_waiting():
        index.add_some()
    assert [row.value for row in Reader(database).stats("day").rows] == ["2026-03-02", "2026-03-05", "2026-03-06"]
    assert not Reader(database).search("words2").hits
    assert len(Reader(database).search("words1").hits) == 3
    for table in ("stats", "stats_durations"):
        assert not database.execute(f"SELECT 1 FROM {table} WHERE period = '2026-03-03'").rows
    if has_index:
        assert database.execute("SELECT count(*) FROM search_removed").rows == [(0,)]
        run(database, "INSERT INTO search_index (search_index, rank) VALUES ('integrity-check', 0)")


class Flaky:
    """A database that gives no answer every so many times, before it has done what was asked or afterwards."""

    def __init__(self, database: Database, every: int) -> None:
        self.failures = 0
        self._database = database
        self._every = every
        self._times = 0

    def execute(self, sql: str, arguments: Any = (), *, operation: str) -> Rows:
        self._fail_or_not()
        return self._database.execute(sql, arguments, operation=operation)

    def transaction(self, statements: Sequence[Statement], *, operation: str) -> None:
        self._fail_or_not()
        self._database.transaction(statements, operation=operation)
        self._fail_or_not()

    def _fail_or_not(self) -> None:
        self._times += 1
        if self._times % self._every == 0:
            self.failures += 1
            raise DatabaseUnavailable("remove sessions", "the database", "no answer")


@pytest.mark.parametrize("every", range(5, 15))
def test_what_has_no_answer_is_tried_again_and_nothing_is_passed_over(file: EmbeddedDatabase, every: int) -> None:
    for n in range(60):
        write(file, *conversation(f"{n}", n % 3), *conversation(f"{n}-a", n % 3, parent_session_id=f"{n}"))
        large = "x" * LARGE_CHARS + f"{n}"
        write(file, ToolCallFinished(session_id=f"{n}", occurred_at=DAY_0, tool_call_id="large", output=[large] * 3))
    flaky = Flaky(file, every)
    pruner = Pruner(cast("Database", flaky), Prunable())
    said: list[int] = []
    pruner.remove_rest(lambda removed: said.append(removed.sessions))
    assert flaky.failures
    assert pruner.removed == Removed(120, 360, 180, 120, 120)
    assert said[-1] == 120
    for table in (*TABLES, "payloads", "payload_sessions"):
        assert file.execute(f"SELECT count(*) FROM {table}").rows == [(0,)]


def test_sub_agents_go_with_what_started_them_and_not_alone(file: EmbeddedDatabase) -> None:
    write(file, *conversation("old", 0), *conversation("old-child", 1, parent_session_id="old"))
    write(file, *conversation("old-grandchild", 2, parent_session_id="old-child"))
    write(file, *conversation("kept", 0), *conversation("kept-child", 1, parent_session_id="kept"))
    write(file, *conversation("kept-grandchild", 9, parent_session_id="kept-child"))
    write(file, *conversation("new", 9), *conversation("new-child", 0, parent_session_id="new"))
    write(file, *conversation("orphan", 0, parent_session_id="nobody"), *conversation("self", 0, parent_session_id="self"))
    assert remove_all(Pruner(file, seen_before(5))).sessions == 5
    assert ids(file) == ["kept", "kept-child", "kept-grandchild", "new", "new-child"]
    pruner = Pruner.of_session(file, "kept-child")
    assert pruner.chosen()[0] == {"kept-child", "kept-grandchild"}
    remove_all(pruner)
    assert ids(file) == ["kept", "new", "new-child"]


def test_so_many_are_kept_as_was_said(file: EmbeddedDatabase) -> None:
    for n in range(8):
        write(file, *conversation(f"s{n}", n // 2))

    def kept(prunable: Prunable, keep: int) -> tuple[int, str] | None:
        found = newest_kept(file, prunable, keep)
        return found and (found[0], file.execute("SELECT id FROM sessions WHERE rowid = ?", (found[1],)).rows[0][0])

    assert kept(Prunable(), 3) == (int((DAY_0 + timedelta(days=2)).timestamp() * 1000), "s5")
    assert kept(Prunable("sessions.id < 's3'"), 4) is None
    assert kept(Prunable(), 8) == (int(DAY_0.timestamp() * 1000), "s0")


def test_a_long_conversation_goes_in_several_transactions_and_what_is_written_meanwhile_stays(file: EmbeddedDatabase) -> None:
    write(file, *conversation("long", 0, messages=500), *conversation("other", 0, messages=2))
    pruner = Pruner(file, seen_before(5))
    pruner.pace.at_once = 20
    transactions = 0
    while pruner.remove_some():
        pruner.pace.at_once = 20
        transactions += 1
        if transactions == 3:  # it goes on: what is left of it stays
            at = DAY_0 + timedelta(days=6)
            write(file, MessageAdded(session_id="long", role="user", content="wait", occurred_at=at))
    assert transactions >= 3
    assert ids(file) == ["long"]
    assert 400 < file.execute("SELECT count(*) FROM messages").rows[0][0] < 500
    assert list(differences(file)) == []
    assert remove_all(Pruner(file, seen_before(7))).sessions == 1
    assert [file.execute(f"SELECT count(*) FROM {table}").rows for table in TABLES] == [[(0,)]] * 5


def test_a_process_killed_in_the_middle_leaves_what_the_next_one_removes(file: EmbeddedDatabase, tmp_path: Path) -> None:
    for n in range(30):
        write(file, *conversation(f"s{n:02}", n))
    path = tmp_path / "pruned.db"
    with subprocess.Popen(
        [sys.executable, "-c", PRUNED_MIDWAY, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"midway\n"
        os.kill(child.pid, signal.SIGKILL)
    assert list(differences(file)) == []
    left = len(ids(file))
    assert 0 < left <= 30
    remove_all(Pruner(file, Prunable()))
    assert ids(file) == []
    assert list(differences(file)) == []
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_calls_go_before_the_messages_that_they_refer_to(database: Database) -> None:
    for n in range(3):
        at: dict[str, Any] = {"session_id": f"s{n}", "occurred_at": DAY_0}
        write(
            database,
            *(MessageAdded(**at, message_id=f"{k}", role="assistant", content="x") for k in range(10)),
            *(ToolCallFinished(**at, tool_call_id=f"t{k}", tool_name="look", message_id=f"{k % 10}") for k in range(60)),
        )
    pruner = Pruner(database, Prunable())
    while pruner.remove_some():
        pruner.pace.at_once = 7
    assert pruner.removed == Removed(3, 30, 180, 0, 0)
    assert ids(database) == []


def test_what_runs_keeps_what_started_it(file: EmbeddedDatabase) -> None:
    write(file, *conversation("done", 0), *conversation("parent", 0))
    at = DAY_0 + timedelta(days=1)
    write(file, SessionStarted(session_id="child", parent_session_id="parent", occurred_at=at))
    pruner = Pruner(file, Prunable(alive_from_ms=int(DAY_0.timestamp() * 1000)))
    assert (pruner.count().sessions, remove_all(pruner).sessions) == (1, 1)
    assert ids(file) == ["child", "parent"]
    later = Prunable(alive_from_ms=int((DAY_0 + timedelta(days=2)).timestamp() * 1000))
    assert remove_all(Pruner(file, later)).sessions == 2


def test_sessions_go_whatever_their_ids_are_and_however_many_were_seen_at_once(file: EmbeddedDatabase) -> None:
    write(file, *(SessionStarted(session_id=f"s{n:03}", occurred_at=DAY_0) for n in range(130)))
    sql = """INSERT INTO sessions (id, agent_type, model, started_at, parent_session_id)
        VALUES (?, 'a', 'm', '2026-03-01 12:00:00', 's000')"""
    run(file, sql, b"\xff\x00")
    run(file, sql.replace("?", "CAST(x'ff41' AS TEXT)").replace("'s000'", "NULL"))
    run(file, sql.replace("?", "NULL"))
    write(file, *(SessionStarted(session_id=f"c{n:03}", parent_session_id=f"s{n:03}", occurred_at=DAY_0) for n in range(120)))
    run(file, "UPDATE sessions SET seen_ms = seen_ms + ? WHERE id LIKE 'c%'", 10**9)
    spared = Pruner(file, Prunable(seen_before_ms=int(DAY_0.timestamp() * 1000) + 1))
    assert spared.count().sessions == remove_all(spared).sessions == 11
    assert remove_all(Pruner(file, Prunable())).sessions == 242
    assert file.execute("SELECT id FROM sessions").rows == []


def test_of_sessions_that_are_gone_statistics_keep_nothing(file: EmbeddedDatabase) -> None:
    for n in range(40):
        write(file, *conversation(f"s{n}", n))
    rollups = Rollups(file)
    rollups.do_rest()
    remove_all(Pruner(file, Prunable()))
    rollups.pace.at_once = 3
    rollups.do_rest()
    for table in ("session_stats", "stats_changes", "stats", "stats_durations"):
        assert file.execute(f"SELECT count(*) FROM {table}").rows == [(0,)]
