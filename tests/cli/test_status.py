from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from turso_hooks.drivers import EmbeddedDatabase
from turso_hooks.journal import JournalFolder
from turso_hooks.settings import Settings
from turso_hooks.store import prepare_schema

Run = Callable[..., subprocess.CompletedProcess[str]]
Child = Callable[..., "subprocess.Popen[str]"]

# Logs as many events as it is told, flushes (with 0 it does not, for that would ship them), says so, and lives on until its
# input ends.
AGENT = """
    import sys, turso_hooks
    hook = turso_hooks.get_plugin_manager().hook
    for n in range(int(sys.argv[1])):
        hook.message_added(event=turso_hooks.MessageAdded(session_id="s", role="user", content="x" * 900))
    flush_s = float(sys.argv[2])
    print(turso_hooks.flush(flush_s).is_complete if flush_s else "logged", flush=True)
    sys.stdin.read()
    """


@pytest.fixture
def agent(child: Child) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []

    def start(events: int, flush_s: float = 30, **environment: str) -> subprocess.Popen[str]:
        process = child(AGENT, str(events), str(flush_s), **environment)
        assert process.stdout is not None
        process.said = process.stdout.readline().strip()  # type: ignore[attr-defined]
        made.append(process)
        return process

    yield start
    for process in made:
        if process.poll() is None:
            kill(process)


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("", timeout=30)
    assert process.returncode == 0


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def state(run: Run, *arguments: str) -> dict[str, object]:
    result = run("status", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    (found,) = json.loads(result.stdout)["targets"]
    assert isinstance(found, dict)
    return found


def state_when(run: Run, is_so: Callable[[dict[str, object]], object]) -> dict[str, object]:
    """The first state of which something is so; there must be one within half a minute."""
    deadline = time.monotonic() + 30
    while not is_so(found := state(run)):
        assert time.monotonic() < deadline, found
    return found


def test_without_a_journal_it_says_where_it_looked(run: Run) -> None:
    result = run("status")
    assert (result.returncode, result.stdout) == (0, "no database has a journal yet\n")
    assert os.environ["TURSO_HOOKS_STATE_FOLDER"] in result.stderr
    assert json.loads(run("status", "--json").stdout)["targets"] == []


def test_a_database_that_is_named_need_not_be_there(run: Run, database: Path) -> None:
    result = run("status", "--db", f"file:{database}")
    assert result.returncode == 0
    assert "the file is not there" in result.stdout
    assert "0 records" in result.stdout
    assert not database.exists()


def test_a_server_that_cannot_be_asked_is_told_of_by_its_journal_alone(run: Run) -> None:
    result = run("status", "--db", "libsql://agents.invalid?authToken=secret")
    assert result.returncode == 0
    assert "its name cannot be resolved" in result.stdout
    assert "secret" not in result.stdout + result.stderr


def test_a_journal_that_cannot_be_read_is_said_to_be_the_one_and_nothing_of_it_is_known(
    run: Run, database: Path, settings: Settings
) -> None:
    folder = JournalFolder(settings.state_folder, f"file:{database}")
    folder.path.parent.mkdir(parents=True)
    folder.path.write_text("")  # not even root may look into this
    result = run("status", "--db", f"file:{database}")
    assert (result.returncode, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert {"last reached not known", "waiting not known", "shipped not known", f"unreadable {folder.path}"} <= set(lines)
    assert "not read now its journal cannot be read (Not a directory), and without that nothing is known" in lines
    found = state(run, "--db", f"file:{database}")
    assert (found["waiting_records"], found["waiting_bytes"], found["unreadable"]) == (None, None, [str(folder.path)])


def test_the_running_and_the_killed_are_told_apart_and_nothing_is_told_twice(
    run: Run, agent: Callable[..., subprocess.Popen[str]], database: Path
) -> None:
    running = agent(20)
    assert running.said == "True"  # type: ignore[attr-defined]
    killed = agent(30, 0, TURSO_HOOKS_SHIP_INTERVAL_S="600", TURSO_HOOKS_EXIT_TIMEOUT_S="0")
    # The running one adopts what the killed one leaves: held back by a lock until it was seen.
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        kill(killed)
        found = state(run, "--db", f"file:{database}")
        assert (found["shipped_records"], found["waiting_records"]) == (20, 30)
        other.execute("COMMIT")
    found = state_when(run, lambda found: not found["waiting_records"])
    assert (found["shipped_records"], found["problem"]) == (50, None)
    assert found["reached_at"] is not None
    end(running)
    text = run("status").stdout
    assert "50 records" in text
    assert "last reached    20" in text


@pytest.mark.slow
def test_a_database_out_of_reach_is_said_with_what_is_in_the_way_and_what_was_refused(
    run: Run, agent: Callable[..., subprocess.Popen[str]], database: Path
) -> None:
    with EmbeddedDatabase(database) as opened:
        prepare_schema(opened)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = agent(100, 0.5, TURSO_HOOKS_JOURNAL_MAX_BYTES="20000")
        assert waiting.said == "False"  # type: ignore[attr-defined]
        found = state_when(run, lambda found: found["problem"])
        assert "locked" in str(found["problem"])
        assert found["counts"] == {"journal_full": 100 - int(str(found["waiting_records"])) + 1}  # the tally waits too
        text = run("status").stdout
        assert "in the way      cannot " in text
        assert "journal_full" in text
        assert "in use" in text
        other.execute("COMMIT")
    end(waiting)
    assert state(run)["problem"] is None


def test_every_database_with_a_journal_is_told_of_unless_one_is_named(
    run: Run, agent: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    for name in ("a.db", "odd %20 näme.db"):
        url = f"file:{tmp_path / name}".replace("%", "%25").replace(" ", "%20")
        end(agent(1, TURSO_DATABASE_URL=url))
    found = json.loads(run("status", "--json").stdout)["targets"]
    assert [(Path(one["target"]).name, one["shipped_records"]) for one in found] == [("a.db", 1), ("odd %20 näme.db", 1)]
    assert len(json.loads(run("status", "--json", TURSO_DATABASE_URL=f"file:{tmp_path / 'a.db'}").stdout)["targets"]) == 1


def test_a_damaged_database_does_not_hide_what_waits(
    run: Run, agent: Callable[..., subprocess.Popen[str]], database: Path
) -> None:
    kill(agent(3, 0, TURSO_HOOKS_SHIP_INTERVAL_S="600"))
    database.write_bytes(b"rubbish" * 5000)
    result = run("status")
    assert result.returncode == 0
    assert "not a database" in result.stdout
    assert "waiting         3 records" in result.stdout
    assert "3 of them left behind by processes that are gone; to ship them: turso-hooks drain" in result.stdout
