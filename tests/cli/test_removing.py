"""What is to be removed goes, with all that other places have of it; what is asked first, and what is said afterwards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase, Statement
from turso_hooks.events import Event, MessageAdded, ModelCallFinished, SessionEnded, SessionStarted, encode, utc_now
from turso_hooks.plugin import Recorder
from turso_hooks.settings import Settings
from turso_hooks.store import Batch, DeadLetter, Numbering, Position, Standing, write_batch
from turso_hooks.store.migrations import MIGRATIONS, statements_of

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = Callable[..., list[tuple[object, ...]]]


def conversation(session_id: str, days_ago: float, **known: str) -> list[Event]:
    at = utc_now() - timedelta(days=days_ago)
    return [
        SessionStarted(session_id=session_id, agent_type="a", model="m", occurred_at=at, **known),
        *(MessageAdded(session_id=session_id, role="user", content=f"word{n} {session_id}", occurred_at=at) for n in range(4)),
        ModelCallFinished(session_id=session_id, model_call_id="m", occurred_at=at),
        SessionEnded(session_id=session_id, occurred_at=at),
    ]


@pytest.fixture
def logged(recorder: Recorder, database: Path) -> str:
    for event in (
        *conversation("old", 100, project="one", title="The old one"),
        *conversation("old-child", 100, parent_session_id="old"),
        *conversation("middle", 50, project="two"),
        *conversation("new", 1, project="one"),
        SessionStarted(session_id="running", project="one"),
    ):
        recorder.record(event)
    assert recorder.flush(30).is_complete
    return f"file:{database}"


@pytest.fixture
def ids(rows: Rows) -> Callable[[], list[object]]:
    return lambda: [session_id for (session_id,) in rows("SELECT id FROM sessions ORDER BY id")]


def test_old_conversations_are_pruned(run: Run, logged: str, ids: Callable[[], list[object]]) -> None:
    said = run("prune", "--older-than", "30d", "--dry-run", "--db", logged)
    assert (said.returncode, said.stdout) == (0, "3 sessions, 12 messages, 3 calls would be removed\n")
    assert len(ids()) == 5
    said = run("prune", "--older-than", "70d", "--yes", "--db", logged)
    assert said.stdout.startswith("2 sessions, 8 messages, 2 calls removed\n")
    assert ids() == ["middle", "new", "running"]
    pruned = json.loads(run("prune", "--older-than", "70d", "--json", "--yes", "--db", logged).stdout)
    assert pruned == {
        "database": logged, "sessions": 0, "messages": 0, "tool_calls": 0, "model_calls": 0, "notes": 0, "freed_bytes": 0,
    }  # fmt: skip
    assert run("verify", "--db", logged).returncode == 0
    assert [line.split("\t")[1] for line in run("stats", "--by", "project", "--db", logged).stdout.splitlines()] == ["2", "1"]
    assert run("search", "word1", "old", "--db", logged).stdout == ""


@pytest.mark.slow
def test_those_of_a_project_or_all_but_so_many_are_pruned_and_what_runs_is_not(
    run: Run, logged: str, ids: Callable[[], list[object]]
) -> None:
    run("prune", "--keep", "3", "--project", "o*", "--yes", "--db", logged)
    assert len(ids()) == 5
    run("prune", "--keep", "2", "--yes", "--db", logged)
    assert ids() == ["new", "running"]
    run("prune", "--project", "one", "--yes", "--db", logged)
    assert ids() == ["running"]
    assert run("prune", "--status", "running", "--yes", "--db", logged).returncode == 2
    nothing = run("prune", "--yes", "--db", logged)
    assert nothing.returncode == 2
    assert "say what is to be removed" in nothing.stderr


@pytest.mark.parametrize("command", [["prune", "--keep", "0"], ["delete", "old"]])
def test_where_nobody_can_be_asked_it_has_to_be_said_that_one_is_sure(
    run: Run, logged: str, ids: Callable[[], list[object]], command: list[str]
) -> None:
    refused = run(*command, "--db", logged)
    assert refused.returncode == 2
    assert "say --yes" in refused.stderr
    assert len(ids()) == 5


def test_a_name_that_is_none_makes_no_database_and_a_dry_run_no_other_one(run: Run, tmp_path: Path) -> None:
    for command in (
        ["prune", "--keep", "1", "--yes"],
        ["prune", "--keep", "1", "--dry-run"],
        ["delete", "x", "--yes"],
        ["recount"],
        ["reindex"],
    ):
        said = run(*command, "--db", f"file:{tmp_path}/none.db")
        assert said.returncode == 1
        assert not (tmp_path / "none.db").exists()
    with EmbeddedDatabase(tmp_path / "old.db") as old:
        old.transaction([Statement(sql) for sql in statements_of(MIGRATIONS[0])])
        said = run("prune", "--keep", "1", "--dry-run", "--db", f"file:{tmp_path}/old.db")
        assert (said.returncode, "turso-hooks migrate" in said.stderr) == (1, True)
        assert old.execute("SELECT max(version) FROM schema_version").rows == [(1,)]


def test_a_person_is_asked_first(in_terminal: Callable[..., str], logged: str, ids: Callable[[], list[object]]) -> None:
    shown = in_terminal("prune", "--older-than", "30d", "--db", logged, typed="n\n")
    assert "remove 3 sessions, 12 messages, 3 calls from" in shown
    assert "stopped" in shown
    assert len(ids()) == 5
    assert "The old one" in in_terminal("delete", "old", "--db", logged, typed="\n")
    assert len(ids()) == 5
    assert "removed" in in_terminal("delete", "old", "--db", logged, typed="y\n")
    assert ids() == ["middle", "new", "running"]
    in_terminal("prune", "--older-than", "30d", "--yes", "--db", logged)
    assert ids() == ["new", "running"]


def test_a_conversation_is_deleted_wherever_something_of_it_is(
    run: Run, logged: str, rows: Rows, database: Path, ids: Callable[[], list[object]], settings: Settings
) -> None:
    letters = [
        DeadLetter(n, Position(1, n), encode(MessageAdded(session_id=session_id, role="user", content="x")), "refused")
        for n, session_id in enumerate(["old-child", "new"])
    ]
    with EmbeddedDatabase(database) as opened:
        end = Standing(Position(1, 9), Numbering(2))
        write_batch(opened, Batch("w", Standing(None, Numbering()), end, [], 2, letters), datetime.now(timezone.utc))
    left_behind = Recorder(settings)
    left_behind.record(MessageAdded(session_id="old", role="user", content="late"))
    left_behind.close(0)
    deleted = run("delete", "old", "--json", "--yes", "--db", logged)
    assert deleted.returncode == 0
    found = json.loads(deleted.stdout)
    assert (found["session_id"], found["sessions"], found["waiting_events"]) == ("old", 2, 0)
    assert ids() == ["middle", "new", "running"]
    assert len(rows("SELECT id FROM dead_letters")) == 1
    assert rows("SELECT count(*) FROM search_removed") == [(0,)]
    for table in ("messages", "tool_executions", "model_calls", "notes", "session_stats"):
        assert not rows(f"SELECT 1 FROM {table} WHERE session_id LIKE 'old%'")
    assert not rows(
        "SELECT 1 FROM stats WHERE period = ?", (datetime.now(timezone.utc) - timedelta(days=100)).date().isoformat()
    )
    assert "no session" in run("delete", "old", "--yes", "--db", logged).stderr
    for beginning in ("", "mid", "m*"):
        assert run("delete", beginning, "--yes", "--yes", "--db", logged).returncode == 1
    assert ids() == ["middle", "new", "running"]


def test_what_a_running_process_still_has_of_it_is_told(
    run: Run, child: Callable[..., subprocess.Popen[str]], logged: str
) -> None:
    process = child(
        """
        import sys, turso_hooks
        hooks = turso_hooks.get_plugin_manager().hook
        hooks.session_started(event=turso_hooks.SessionStarted(session_id="new"))
        print("logged", flush=True)
        sys.stdin.readline()
        """,
        TURSO_HOOKS_SHIP_INTERVAL_S="60",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    deleted = run("delete", "new", "--yes", "--db", logged)
    assert deleted.returncode == 1
    assert "a process that runs has 1 event of it" in deleted.stderr
    process.communicate("\n", timeout=30)
    again = run("delete", "new", "--yes", "--db", logged)
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "1 session removed")


def test_what_is_too_old_goes_while_others_are_logged(
    run: Run, logged: str, ids: Callable[[], list[object]], settings: Settings
) -> None:
    with_retention = Recorder(Settings(settings.database_url, state_folder=settings.state_folder, retention_days=70))
    with_retention.record(SessionStarted(session_id="another"))
    assert with_retention.flush(30).is_complete
    with_retention.close(5)
    assert run("drain", "--db", logged).returncode == 0
    assert ids() == ["another", "middle", "new", "running"]
