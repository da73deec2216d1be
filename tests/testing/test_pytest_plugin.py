"""The fixtures work in a test suite of somebody else's, and cost one that does not ask for them next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = """
import sys
import turso_hooks
from turso_hooks import ConversationLogger, MessageAdded


def say(session_id):
    ConversationLogger(agent_type="tester").log_message(session_id, "user", "hello")


def test_events(turso_hooks_events):
    say("one")
    assert [event.session_id for event in turso_hooks_events.of(MessageAdded)] == ["one"]


def test_rows(turso_hooks_database):
    say("two")
    assert turso_hooks_database.read().messages("two").items[0].content == "hello"
    say("two")
    assert len(turso_hooks_database.read().messages("two").items) == 2


def test_rows_of_another(turso_hooks_database):
    assert turso_hooks_database.read().list_sessions().items == ()
    say("three")
    assert [session.session_id for session in turso_hooks_database.read().list_sessions().items] == ["three"]


def test_after_all():
    say("four")
"""


def pytest_in(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_each_test_has_a_database_of_its_own_and_the_environments_one_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_runner.py").write_text(TESTS, encoding="utf-8")
    other = tmp_path / "environment.db"
    done = pytest_in(tmp_path, TURSO_DATABASE_URL=f"file:{other}")
    assert (done.returncode, "4 passed" in done.stdout) == (0, True), done.stdout
    counted = (
        f"import sqlite3; print(sqlite3.connect({str(other)!r}).execute('SELECT group_concat(id) FROM sessions').fetchone())"
    )
    asked = subprocess.run([sys.executable, "-c", counted], capture_output=True, text=True, check=True)
    assert asked.stdout == "('four',)\n"


def test_nothing_is_imported_before_a_test_asks_for_it(tmp_path: Path) -> None:
    test = """
        import sys

        def test_it():
            assert [name for name in sys.modules if name.startswith("turso_hooks.")] == ["turso_hooks.pytest_plugin"]
    """
    (tmp_path / "test_nothing.py").write_text(textwrap.dedent(test), encoding="utf-8")
    done = pytest_in(tmp_path)
    assert "1 passed" in done.stdout, done.stdout
